import assert from 'node:assert/strict';
import { test } from 'node:test';
import postgres from 'postgres';
import { createTestDatabase } from '../support/database.ts';
import { startMailgress } from '../support/process.ts';
import { ADMIN_TOKEN, addSource, batch, gmailItem, mailOf, push, SECRET_KEY } from '../support/service.ts';

test('the same mail posted 50 times at once over two processes is one message, one event and 49 duplicates', async () => {
  const database = await createTestDatabase();
  const environment = {
    DATABASE_URL: database.url,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
    LOG_LEVEL: 'warn',
  };
  const sql = postgres(database.url, { max: 1 });
  try {
    await using first = startMailgress(['serve'], environment);
    await using second = startMailgress(['serve'], environment);
    const addresses = await Promise.all([first.ready(), second.ready()]);
    const source = await addSource({ address: addresses[0] });

    const body = batch([gmailItem('18c0ffee', mailOf('One of fifty'))]);
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, at) => {
        const ingestUrl = `${addresses[at % 2]}/v1/ingest/apps-script/${source.id}`;
        const response = await push({ ...source, ingestUrl }, body);
        assert.equal(response.status, 200);
        const { results } = (await response.json()) as { results: { status: string; messageId: string }[] };
        return results[0];
      }),
    );

    const statuses = answers.map((answer) => answer?.status);
    assert.equal(statuses.filter((status) => status === 'accepted').length, 1);
    assert.equal(statuses.filter((status) => status === 'duplicate').length, 49);
    assert.equal(new Set(answers.map((answer) => answer?.messageId)).size, 1);
    const [counts] = await sql`
      SELECT (SELECT count(*)::int FROM messages) AS messages, (SELECT count(*)::int FROM events) AS events,
             (SELECT count(*)::int FROM raw_mails) AS raw, (SELECT count(*)::int FROM dedupe_ledger) AS ledger`;
    assert.deepEqual({ ...counts }, { messages: 1, events: 1, raw: 1, ledger: 1 });
  } finally {
    await sql.end();
    await database.drop();
  }
});
