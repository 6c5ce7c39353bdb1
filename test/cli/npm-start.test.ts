import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitUntil } from '../support/embedded-place.ts';
import { createDataDirectory, isListening } from '../support/process.ts';

test('a SIGTERM to `npm start`, as supervisors send it, stops the service and its database', async () => {
  await using directory = await createDataDirectory();
  const npm = spawn('npm', ['start'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { ...process.env, MAILGRESS_DATA_DIR: directory.path, PORT: '0' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let stdout = '';
  npm.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const ended = once(npm, 'close');
  try {
    await waitUntil('it listens', () => /listens on \S+\n/.test(stdout));
    const postmaster = await directory.postmaster();
    assert.ok(postmaster);
    npm.kill('SIGTERM');
    await ended;
    await waitUntil('the database has stopped', async () => !(await isListening(postmaster.port)));
    assert.equal(await directory.postmaster(), undefined, 'no postmaster.pid');
  } finally {
    npm.kill('SIGKILL');
  }
});
