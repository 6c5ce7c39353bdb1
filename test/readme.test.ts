import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ADMIN_TOKEN, startTestService } from './support/service.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test('the first mail of the README goes through when its lines are pasted', async () => {
  const service = await startTestService();
  const directory = await mkdtemp(join(tmpdir(), 'mailgress-readme-'));
  const consumerPort = await freePort();
  try {
    await mkdir(join(directory, '.mailgress'));
    await writeFile(join(directory, '.mailgress/admin-token'), `${ADMIN_TOKEN}\n`);
    const section =
      (await readFile(join(root, 'README.md'), 'utf8')).split('## A first mail, by hand')[1] ?? '';
    const blocks = [...(section.split('\n## ')[0] ?? '').matchAll(/```sh\n(.*?)```/gs)].map(
      ([, block]) => block ?? '',
    );
    assert.equal(blocks.length, 4);
    const script = blocks
      .join('\n')
      .replace('http://127.0.0.1:8080', service.address)
      .replaceAll('9999', String(consumerPort))
      .replaceAll('examples/', `${root}examples/`)
      // The reader waits until the consumer says that it listens; so does the test.
      .replace(
        / &\n/,
        ' > consumer.log 2>&1 & trap "kill $!" EXIT\n' +
          'for _ in $(seq 200); do grep -q waiting consumer.log && break; sleep 0.05; done\n',
      );
    const after = `
      for _ in $(seq 200); do grep -q message.received consumer.log && break; sleep 0.05; done
      cat consumer.log`;
    const shell = spawn('bash', ['-euo', 'pipefail', '-c', script + after], { cwd: directory });
    const [output, errors] = await Promise.all([text(shell.stdout), text(shell.stderr)]);
    assert.match(output, /"status":"accepted","messageId":"msg_[0-9a-f]{32}"/, errors);
    assert.match(output, /evt_[0-9a-f]{32} message\.received Hello, webhook/, errors);
    assert.match(output, /\{"status":"ok"\}/);
  } finally {
    await service.dispose();
    await rm(directory, { recursive: true });
  }
});
