import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { createTestDatabase } from '../support/database.ts';
import { startMailgress } from '../support/process.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  push,
  SECRET_KEY,
} from '../support/service.ts';
import { startSlowProxy } from '../support/slow-proxy.ts';

/*
 * More mail than a slow database can take. Figures are for `npm run bench -- overload`; here it is how the service behaves:
 * it refuses what it cannot take, at once, keeps what it has taken, and is itself again afterwards.
 * MAILGRESS_TEST_OVERLOAD=full: for a minute instead of some seconds.
 */
const SECONDS = process.env.MAILGRESS_TEST_OVERLOAD === 'full' ? 60 : 6;
/** Some 50 mails of this kind a second go through a line this narrow. */
const BYTES_PER_SECOND = 250_000;
/** Each sends the next mail once the last is answered, and waits a little when that was a refusal. */
const CLIENTS = 150;
const PAUSE_MS = 200;

type Outcome = { status: number; ms: number; messageId?: string; retryAfter: string | null };

test('more mail than a slow database can take: the rest is refused at once, nothing accepted is lost', async (t) => {
  const database = await createTestDatabase();
  await using proxy = await startSlowProxy(database.url);
  await using service = startMailgress(['serve'], {
    DATABASE_URL: proxy.url,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
    LOG_LEVEL: 'warn',
  });
  const address = await service.ready();
  const sources = await Promise.all(Array.from({ length: 8 }, () => addSource({ address })));
  proxy.narrow(BYTES_PER_SECOND);

  let made = 0;
  const outcomes: Outcome[] = [];
  async function runFor(seconds: number): Promise<Outcome[]> {
    const endsMs = performance.now() + seconds * 1000;
    const before = outcomes.length;
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, index) => {
        while (performance.now() < endsMs) {
          const outcome = await send(sources[index % sources.length] as PushSource, made++);
          outcomes.push(outcome);
          if (outcome.status !== 200) await sleep(PAUSE_MS);
        }
      }),
    );
    return outcomes.slice(before);
  }
  // Until the service has seen how slow its database is, and what it let in before that is done.
  for (let round = 0; round < 20 && (await runFor(2)).filter(isAccepted).length < 20; round++);
  const settled = await runFor(SECONDS);
  const residentMb = await peakMb(service.pid);

  const median = (some: Outcome[]) => some.map(({ ms }) => ms).sort((a, b) => a - b)[some.length >> 1] ?? 0;
  const accepted = settled.filter(isAccepted);
  const refused = settled.filter((one) => !isAccepted(one));
  t.diagnostic(
    `${accepted.length} accepted in ${median(accepted).toFixed(0)} ms in the median, ${refused.length} refused in ` +
      `${median(refused).toFixed(0)} ms; ${residentMb} MB at most`,
  );
  assert.ok(accepted.length > 20 && refused.length > 20, `${accepted.length} and ${refused.length}`);
  for (const { status, retryAfter } of outcomes.filter((one) => !isAccepted(one))) {
    assert.equal(status, 503);
    assert.match(retryAfter ?? '', /^[1-9]\d*$/);
  }
  // If all of them were let in, each would wait for all others, since the database takes one after the other.
  const forAllMs = (CLIENTS * SECONDS * 1000) / accepted.length;
  assert.ok(median(accepted) < forAllMs / 2, `${median(accepted)} of ${forAllMs} ms`);
  assert.ok(median(refused) < median(accepted), 'who is refused does not wait');
  assert.ok(residentMb < 400, `${residentMb} MB`);

  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  const ids = outcomes.filter(isAccepted).map(({ messageId }) => messageId?.slice('msg_'.length) ?? '');
  const [row] = await sql`
    SELECT (SELECT count(*)::int FROM messages WHERE id = ANY (${ids}::uuid[])) AS messages,
           (SELECT count(*)::int FROM events WHERE id = ANY (${ids}::uuid[])) AS events`;
  assert.deepEqual({ ...row }, { messages: ids.length, events: ids.length });
  await sql.end();

  proxy.narrow(undefined);
  for (let n = 0; n < 50; n++) {
    assert.equal((await send(sources[0] as PushSource, made++)).status, 200, 'one at a time has always room');
  }
  service.kill('SIGTERM');
  const { code, stderr } = await service.ended;
  assert.equal(code, 0, stderr);
  await database.drop();
});

const isAccepted = ({ status }: Outcome) => status === 200;

async function send(source: PushSource, n: number): Promise<Outcome> {
  const startedMs = performance.now();
  const id = (0x18c0000000 + n).toString(16);
  const response = await push(source, batch([gmailItem(id, mailOf(`Mail ${n}`, 'x'.repeat(1000)))]));
  const answer = (await response.json()) as { results?: [{ messageId: string }] };
  return {
    status: response.status,
    ms: performance.now() - startedMs,
    messageId: answer.results?.[0].messageId ?? '',
    retryAfter: response.headers.get('retry-after'),
  };
}

/** The most that was resident at any time; 0 where there is no /proc. */
async function peakMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}
