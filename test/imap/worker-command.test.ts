import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createTestDatabase } from '../support/database.ts';
import { startMailgress } from '../support/process.ts';
import { workerEnvironment } from './workers.ts';

const empty = await createTestDatabase({ migrated: false });
after(() => empty.drop());
const migrated = await createTestDatabase();
after(() => migrated.drop());

async function run(args: readonly string[], env: Record<string, string> = {}) {
  await using command = startMailgress(['worker', ...args], env);
  return await command.ended;
}

test('on a database that is behind it is refused, and says what to do', async () => {
  const { code, told, stdout } = await run([], workerEnvironment(empty.url));
  assert.equal(code, 69);
  assert.equal(stdout, '');
  assert.equal(told.length, 1);
  assert.match(told[0] ?? '', /mailgress migrate/);
});

test('asked for help it tells its options', async () => {
  const { code, stdout, stderr } = await run(['--help']);
  assert.deepEqual([code, stderr], [0, '']);
  for (const word of ['--source <id>', '--capacity <n>', 'IMAP']) assert.ok(stdout.includes(word), stdout);
});

for (const args of [
  ['--source', 'src_1'],
  ['--source', ''],
  ['--capacity', '0'],
  ['--capacity', 'many'],
  ['--capacity', '-1'],
])
  test(`${args.join(' ')} is refused, and says what it must be`, async () => {
    const { code, told } = await run(args, workerEnvironment(migrated.url));
    assert.equal(code, 64, told.join('\n'));
    assert.match(told.join('\n'), /must be/);
  });

test('told to stop before it has begun it ends at once, and well', async () => {
  for (const afterMs of [0, 300, 900]) {
    await using worker = startMailgress(['worker'], workerEnvironment(migrated.url));
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    worker.kill('SIGTERM');
    const { code, signal } = await worker.ended;
    // Before it listens for signals, the system ends it.
    assert.ok(code === 0 || signal === 'SIGTERM', `exit ${code}`);
  }
});
