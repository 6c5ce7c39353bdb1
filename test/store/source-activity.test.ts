import assert from 'node:assert/strict';
import { after, mock, test } from 'node:test';
import { uuidOf } from '../../src/core/ids.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createActivityRecorder } from '../../src/store/source-activity.ts';
import { createTestDatabase } from '../support/database.ts';
import { addImapSource } from '../support/imap-source.ts';

const { url, drop } = await createTestDatabase();
after(() => drop());
const { sql, close } = openDatabase(url);
after(() => close());

for (const [name, hours] of [
  ['behind', -1],
  ['ahead', 1],
] as const)
  test(`a process whose clock is an hour ${name} has its sources alive by the database’s`, async () => {
    const { id } = await addImapSource(sql, { account: null });
    const errors: unknown[] = [];
    const recorder = createActivityRecorder(sql, (error) => errors.push(error));
    mock.timers.enable({ apis: ['Date'], now: Date.now() + hours * 3_600_000 });
    try {
      recorder.note(id, { hasMessage: true });
    } finally {
      mock.timers.reset();
    }
    await recorder.stop();
    assert.deepEqual(errors, []);
    const [row] = await sql`
      SELECT last_proven_alive_at BETWEEN now() - interval '1 minute' AND now() AS "isAlive",
             last_message_at BETWEEN now() - interval '1 minute' AND now() AS "hasMail"
      FROM sources WHERE id = ${uuidOf(id)}`;
    assert.deepEqual([row?.isAlive, row?.hasMail], [true, true]);
  });
