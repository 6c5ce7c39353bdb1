import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { chooseFreePort } from '../../src/store/embedded/choose-port.ts';
import { startConsumer } from '../support/consumer.ts';
import { waitUntil } from '../support/embedded-place.ts';
import {
  createDataDirectory,
  type DataDirectory,
  type MailgressProcess,
  startMailgress,
} from '../support/process.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  callApi,
  gmailItem,
  mailOf,
  type PushSource,
  push,
} from '../support/service.ts';

/*
 * kill -9 at load: the server, its PostgreSQL, and both at once. Whatever was answered with 2xx must be there, once,
 * and its event must reach the consumer, repeats under one webhook-id.
 *
 * MAILGRESS_TEST_KILLS=20 for the full run.
 */

const KILLS = Number(process.env.MAILGRESS_TEST_KILLS ?? 2);
/** Between two kills so many batches are acknowledged, so that each hits a server at work. */
const BATCHES_BETWEEN_KILLS = 25;
const POSTERS = 6;

const victims: Record<string, (all: MailgressProcess, directory: DataDirectory) => Promise<void>> = {
  'the server': async (all) => all.kill('SIGKILL'),
  'its PostgreSQL': async (_all, directory) => killPostmaster(directory),
  both: async (all, directory) => {
    all.kill('SIGKILL');
    await killPostmaster(directory);
  },
};

async function killPostmaster(directory: DataDirectory): Promise<void> {
  const postmaster = await directory.postmaster();
  if (postmaster !== undefined) process.kill(postmaster.pid, 'SIGKILL');
}

for (const [victim, kill] of Object.entries(victims)) {
  test(`kill -9 of ${victim} at load, ${KILLS} times: what was acked is there once and delivered`, async (t) => {
    await using directory = await createDataDirectory();
    const port = await chooseFreePort();
    const start = () =>
      startMailgress(['all'], {
        MAILGRESS_DATA_DIR: directory.path,
        MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
        PORT: String(port),
        LOG_LEVEL: 'warn',
      });
    const delivered = new Map<string, Set<string>>();
    await using consumer = await startConsumer((response, { headers, body }) => {
      const webhookId = String(headers['webhook-id']);
      const messageId = JSON.parse(body).data.id;
      const ids = delivered.get(messageId);
      // The first try of some is refused or cut off, after it has arrived.
      const chance = Number.parseInt(webhookId.slice(-1), 16);
      if (ids === undefined && chance === 0) response.writeHead(500).end();
      else if (ids === undefined && chance === 1) response.destroy();
      else response.writeHead(204).end();
      delivered.set(messageId, (ids ?? new Set()).add(webhookId));
    });

    let all = start();
    try {
      const address = await all.ready();
      await callApi(address, 'POST', '/v1/endpoints', { url: consumer.url });
      const load = startLoad(await addSource({ address }));
      for (let count = 0; count < KILLS; count++) {
        const goal = load.acknowledgedBatches() + BATCHES_BETWEEN_KILLS;
        await waitUntil('the load goes on', () => load.acknowledgedBatches() >= goal);
        await kill(all, directory);
        if (victim === 'its PostgreSQL') continue;
        await all.ended;
        all = start();
        await all.ready();
      }
      const acknowledged = await load.stop();
      t.diagnostic(`${acknowledged.size} mails acknowledged, ${load.retries()} requests repeated`);

      const sql = await openEmbedded(directory);
      try {
        await waitUntil('every event has arrived', async () => {
          // Leases of the dead, and retries that wait for minutes: due now.
          await sql`UPDATE deliveries SET next_attempt_at = now(), lease_owner = NULL WHERE status = 'pending'`;
          await wait(500);
          const [row] = await sql`SELECT count(*)::int AS n FROM deliveries WHERE status = 'pending'`;
          return row?.n === 0;
        });
        await check(sql, acknowledged, delivered);
      } finally {
        await sql.end();
      }
    } finally {
      await all[Symbol.asyncDispose]();
    }
  });
}

/** Posts new mail without pause; a batch that was not answered with 200 comes again until it is. */
function startLoad(source: PushSource) {
  /** Message id by provider id. */
  const acknowledged = new Map<string, string>();
  let batches = 0;
  let retries = 0;
  let ids = 0;
  let isStopping = false;

  async function post(body: string): Promise<void> {
    for (;;) {
      const answer = await push(source, body).then(
        async (response) => ({ status: response.status, body: await response.json() }),
        () => ({ status: 0, body: undefined }),
      );
      if (answer.status !== 200) {
        // Away, or killed under the request. Anything else is a fault.
        assert.ok(answer.status === 0 || answer.status === 503, `answered ${answer.status}`);
        retries++;
        await wait(20);
        continue;
      }
      const { results } = answer.body as { results: { id: string; status: string; messageId: string }[] };
      for (const { id, status, messageId } of results) {
        assert.ok(status === 'accepted' || status === 'duplicate', status);
        acknowledged.set(id, messageId);
      }
      batches++;
      return;
    }
  }

  async function work(): Promise<void> {
    while (!isStopping) {
      const mails = Array.from({ length: 1 + (ids % 3) }, () => {
        const id = (0xa000000 + ++ids).toString(16);
        return gmailItem(id, mailOf(`Mail ${id}`, 'A line of text.\r\n'.repeat(ids % 10 === 0 ? 5000 : 20)));
      });
      await post(batch(mails));
    }
  }

  const workers = Array.from({ length: POSTERS }, work);
  return {
    acknowledgedBatches: () => batches,
    retries: () => retries,
    async stop() {
      isStopping = true;
      await Promise.all(workers);
      return acknowledged;
    },
  };
}

async function openEmbedded(directory: DataDirectory): Promise<Sql> {
  const password = (await readFile(join(directory.path, 'postgres', 'password'), 'utf8')).trim();
  const postmaster = await directory.postmaster();
  return postgres({
    host: '127.0.0.1',
    port: postmaster?.port ?? 0,
    username: 'mailgress',
    password,
    database: 'mailgress',
    max: 1,
  });
}

async function check(
  sql: Sql,
  acknowledged: ReadonlyMap<string, string>,
  delivered: ReadonlyMap<string, ReadonlySet<string>>,
): Promise<void> {
  const stored = await sql<{ id: string; providerId: string; isWhole: boolean }[]>`
    SELECT 'msg_' || replace(messages.id::text, '-', '') AS id, document->>'providerId' AS "providerId",
           raw_mails.message_id IS NOT NULL AND events.id IS NOT NULL AND ledger.key IS NOT NULL AS "isWhole"
    FROM messages
    LEFT JOIN raw_mails ON raw_mails.message_id = messages.id
    LEFT JOIN events ON events.id = messages.id
    LEFT JOIN dedupe_ledger ledger ON ledger.message_id = messages.id`;
  const byProviderId = new Map(stored.map(({ id, providerId }) => [providerId, id]));
  assert.equal(stored.length, byProviderId.size, 'no mail is stored twice');
  assert.ok(
    stored.every(({ isWhole }) => isWhole),
    'every message has its raw bytes, event and ledger entry',
  );
  for (const [providerId, messageId] of acknowledged) {
    assert.equal(
      byProviderId.get(providerId),
      messageId,
      `${providerId} is there under the id that was answered`,
    );
    const webhookIds = delivered.get(messageId);
    assert.deepEqual(
      [...(webhookIds ?? [])],
      [messageId.replace('msg_', 'evt_')],
      `${messageId} was delivered`,
    );
  }
}
