import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { waitUntil } from '../support/embedded-place.ts';
import { skipWithoutDovecot } from '../support/imap/install.ts';
import { isListening } from '../support/process.ts';

const SCRIPT = `
  const { startDovecot } = await import(${JSON.stringify(import.meta.resolve('../support/imap/dovecot.ts'))});
  const { directory, port } = await startDovecot();
  console.log(JSON.stringify({ directory, port }));
`;

describe('a Dovecot that nobody stops', { skip: await skipWithoutDovecot() }, () => {
  for (const [how, end] of Object.entries({
    'is killed': "process.kill(process.pid, 'SIGKILL');",
    'ends with an error': "throw new Error('as meant');",
    ends: '',
  }))
    test(`goes when its process ${how}`, async () => {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', SCRIPT + end], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const [line] = await once(child.stdout, 'data');
      const { directory, port } = JSON.parse(String(line));
      await once(child, 'exit');
      await waitUntil('it has gone', async () => !existsSync(directory) && !(await isListening(port)));
    });
});
