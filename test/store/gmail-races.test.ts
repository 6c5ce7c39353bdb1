import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import fc from 'fast-check';
import postgres from 'postgres';
import { gmailKeyOf } from '../../src/core/dedupe.ts';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { findOpenGaps, keepGapPage } from '../../src/store/gap-filling.ts';
import { gmailStubOf, jumpWithGap, keepHistoryPage } from '../../src/store/gmail-sync.ts';
import {
  type ClaimedSource,
  claimGmailSources,
  createHolder,
  endRun,
  releaseLease,
  renewLease,
} from '../../src/store/source-leases.ts';
import { findDueStubs, settleStubs } from '../../src/store/stub-queue.ts';
import { createTestDatabase } from '../support/database.ts';
import { addGmailSource } from '../support/gmail-source.ts';

/*
 * Several processes at one source, their steps in any order, and leases that are taken from who still works. What has
 * to hold after each step: the cursor has not gone back, and each mail that it has passed is stored, has a stub, or is
 * in a stretch that a gap stands for.
 */

const database = await createTestDatabase();
after(() => database.drop());
const sql = postgres(database.url, { max: 4, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));

/** History id of the n-th mail; of 21 digits, so that doubles would confuse them. */
const idAt = (n: number) => String(179519510175300000000n + BigInt(n));
const numberOf = (historyId: string) => Number(BigInt(historyId) - 179519510175300000000n);
const mailAt = (n: number) => `msg_${n}`;

/** How many mails come in between two steps, and how many a page has. */
const PAGE = 3;

type Holder = {
  claimed: ClaimedSource | undefined;
  /** Where this one believes the cursor is: it may be long past. */
  cursor: string | null;
};

const END = {
  state: 'idle',
  reason: null,
  failures: 0,
  lagLooks: 0,
  isComplete: true,
  isAlive: true,
  dueInMs: 0,
  slowForMs: null,
  settling: null,
  auditedAt: null,
} as const;

const HOLDERS = 3;
const KINDS = [
  'arrive',
  'claim',
  'page',
  'page',
  'page',
  'jump',
  'fetch',
  'gap page',
  'renew',
  'end',
  'release',
  'steal',
  'expire',
] as const;
const step = fc.record({
  kind: fc.constantFrom(...KINDS),
  who: fc.nat(HOLDERS - 1),
  size: fc.integer({ min: 1, max: 4 }),
});

class Race {
  readonly source: Id<'src'>;
  /** The newest mail there is. */
  newest = 0;
  highest = 0;
  /** Held at once by more than one, as far as the store answered. */
  readonly holders: Holder[] = Array.from({ length: HOLDERS }, () => ({
    claimed: undefined,
    cursor: null,
  }));

  constructor(source: Id<'src'>) {
    this.source = source;
  }

  async take(kind: (typeof KINDS)[number], who: number, size: number): Promise<void> {
    const holder = this.holders[who] ?? assert.fail('no such holder');
    const { claimed } = holder;
    if (kind === 'arrive') this.newest += size;
    else if (kind === 'claim') await this.claim(holder);
    else if (kind === 'steal') await this.steal();
    else if (kind === 'expire') {
      await sql`UPDATE sources SET lease_until = now() WHERE id = ${uuidOf(this.source)}`;
    } else if (claimed === undefined) return;
    else if (kind === 'page') await this.keepPage(holder, claimed);
    else if (kind === 'jump') await this.jump(holder, claimed);
    else if (kind === 'fetch') await this.fetch(claimed, size);
    else if (kind === 'gap page') await this.listGap(claimed);
    else if (kind === 'renew') await renewLease(sql, claimed.lease);
    else if (kind === 'end') await endRun(sql, claimed, END);
    else await releaseLease(sql, claimed.lease);
  }

  async claim(holder: Holder): Promise<void> {
    const [claimed] = await claimGmailSources(sql, { holder: createHolder(), limit: 1 });
    if (claimed === undefined) return;
    holder.claimed = claimed;
    holder.cursor = claimed.cursor;
  }

  /** By a process that is not of ours and does nothing with it. */
  async steal(): Promise<void> {
    await sql`
      UPDATE sources SET fence = fence + 1, lease_owner = ${randomUUID()}, lease_until = now() WHERE id = ${uuidOf(this.source)}`;
  }

  /** What lies behind where this one believes the cursor is. */
  async keepPage(holder: Holder, { lease }: ClaimedSource): Promise<void> {
    const { cursor } = holder;
    if (cursor === null) return;
    const from = numberOf(cursor);
    const last = Math.min(from + PAGE, this.newest);
    if (last <= from) return;
    const numbers = Array.from({ length: last - from }, (_, index) => from + 1 + index);
    const page = { messageIds: numbers.map(mailAt), from: cursor, to: idAt(last) };
    if (await keepHistoryPage(sql, lease, page)) holder.cursor = page.to;
  }

  async jump(holder: Holder, { lease }: ClaimedSource): Promise<void> {
    const { cursor } = holder;
    const to = idAt(this.newest);
    if (cursor === null || cursor === to) return;
    const jump = { reason: 'history_expired', from: cursor, to, since: new Date(0) } as const;
    if (await jumpWithGap(sql, lease, jump)) holder.cursor = to;
  }

  /** What is begun under a lease is kept without one: that a mail is stored is true. */
  async fetch({ lease }: ClaimedSource, size: number): Promise<void> {
    const stubs = await findDueStubs(sql, lease, size);
    if (stubs.length === 0) return;
    await sql`
      INSERT INTO dedupe_ledger (mailbox_id, key, message_id)
      SELECT mailbox_id, stubs.key, mailgress_uuidv7() FROM stubs JOIN sources ON sources.id = source_id
      WHERE stubs.id IN ${sql(stubs.map(({ id }) => uuidOf(id)))}
      ON CONFLICT DO NOTHING`;
    await settleStubs(
      sql,
      stubs.map(({ id }) => ({ id, outcome: 'stored' })),
    );
  }

  /** The list has every mail that there is, in one page. */
  async listGap({ lease }: ClaimedSource): Promise<void> {
    const [gap] = await findOpenGaps(sql, this.source);
    if (gap === undefined) return;
    const messageIds = Array.from({ length: this.newest }, (_, index) => mailAt(index + 1));
    await keepGapPage(sql, lease, gap, {
      stubs: messageIds.map(gmailStubOf),
      listed: messageIds.length,
      next: null,
    });
  }

  async check(): Promise<void> {
    const [row] = await sql<[{ cursor: string; stubs: string[]; stored: number; standing: string[][] }]>`
      SELECT cursor,
             (SELECT coalesce(array_agg(provider_id), '{}') FROM stubs WHERE source_id = sources.id) AS stubs,
             (SELECT coalesce(json_agg(json_build_array(from_cursor, to_cursor)), '[]') FROM gaps
              WHERE source_id = sources.id AND listed_at IS NULL) AS standing
      FROM sources WHERE id = ${uuidOf(this.source)}`;
    const cursor = numberOf(row.cursor);
    assert.ok(cursor >= this.highest, `the cursor went back from ${this.highest} to ${cursor}`);
    this.highest = cursor;
    const stored = await this.storedMails();
    const stubs = new Set(row.stubs);
    const standing = row.standing.map(([from = '', to = '']) => [numberOf(from), numberOf(to)] as const);
    for (let mail = 1; mail <= cursor; mail++) {
      const isKept = stored.has(mailAt(mail)) || stubs.has(mailAt(mail));
      const isInGap = standing.some(([from, to]) => mail > from && mail <= to);
      assert.ok(isKept || isInGap, `nothing stands for mail ${mail} before the cursor at ${cursor}`);
    }
  }

  async storedMails(): Promise<Set<string>> {
    const rows = await sql<{ key: string }[]>`
      SELECT replace(ledger.key::text, '-', '') AS key FROM dedupe_ledger ledger
      JOIN sources ON sources.mailbox_id = ledger.mailbox_id WHERE sources.id = ${uuidOf(this.source)}`;
    const keys = new Set(rows.map(({ key }) => key));
    const mails = Array.from({ length: this.newest }, (_, index) => mailAt(index + 1));
    return new Set(mails.filter((mail) => keys.has(Buffer.from(gmailKeyOf(mail)).toString('hex'))));
  }
}

async function begin(): Promise<Race> {
  const source = await addGmailSource(sql, `${randomUUID()}@example.com`);
  // Nobody else's: a claim takes whatever is due.
  await sql`UPDATE sources SET is_wanted = (id = ${uuidOf(source)}), cursor = ${idAt(0)} WHERE kind = 'gmail'`;
  return new Race(source);
}

test('steps of several processes in any order lose no mail, and the cursor never goes back', () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
      const race = await begin();
      for (const { kind, who, size } of steps) {
        await race.take(kind, who, size);
        await race.check();
      }
    }),
    { numRuns: 40 },
  ));

test('nor do steps that are taken at the same moment', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 2, maxLength: 5 }), { maxLength: 12 }),
      async (rounds) => {
        const race = await begin();
        for (const round of rounds) {
          race.newest += 2;
          await race.take('claim', 0, 1);
          await Promise.all(round.map(({ kind, who, size }) => race.take(kind, who, size)));
          await race.check();
        }
      },
    ),
    { numRuns: 40 },
  ));

test('a stale holder keeps nothing', async () => {
  const race = await begin();
  race.newest = 5;
  const [old] = await claimGmailSources(sql, { holder: createHolder(), limit: 1 });
  assert.ok(old !== undefined);
  await race.steal();
  const { lease } = old;
  assert.equal(await renewLease(sql, lease), false);
  assert.equal(
    await keepHistoryPage(sql, lease, { messageIds: ['msg_1'], from: idAt(0), to: idAt(1) }),
    false,
  );
  const jump = { reason: 'reset', from: idAt(0), to: idAt(5), since: new Date(0) } as const;
  assert.equal(await jumpWithGap(sql, lease, jump), false);
  assert.equal(await endRun(sql, old, { ...END, state: 'error', reason: 'of a run long past' }), false);
  const [row] = await sql`
    SELECT cursor, state, (SELECT count(*)::int FROM stubs WHERE source_id = sources.id) AS stubs,
           (SELECT count(*)::int FROM gaps WHERE source_id = sources.id) AS gaps
    FROM sources WHERE id = ${uuidOf(race.source)}`;
  assert.deepEqual({ ...row }, { cursor: idAt(0), state: 'idle', stubs: 0, gaps: 0 });
  await race.check();
});
