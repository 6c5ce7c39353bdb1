/*
 * npm run bench -- size: whether a large store is slower than a small one. Two services on one PostgreSQL, with few and with
 * many messages of as many mailboxes; they take turns. Pages are read at random places, of all and of one mailbox.
 */
import postgres, { type Sql } from 'postgres';
import { idOf } from '../src/core/ids.ts';
import { printCursor } from '../src/http/feed-text.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { median } from './report.ts';
import { BENCH_TOKEN, endProcess, startMailgress, type Variant } from './variants.ts';

export type SizeFigures = {
  messages: [small: number, large: number];
  p99Ms: Record<'ingest' | 'feed' | 'list' | 'mailboxList', [small: number, large: number]>;
};

type Tools = {
  createDatabase: (name: string) => Promise<string>;
  send: (order: LoadOrder) => Promise<LoadResult>;
  isQuick: boolean;
  note: (text: string) => void;
};

type Store = { variant: Variant; sql: Sql; base: string; messages: number };

const MAILBOXES = 1000;
const CHUNK = 20_000;
const ROUNDS = 5;
const READS = 1000;
const MAILS = 3000;

export async function measureSize(tools: Tools): Promise<SizeFigures> {
  const messages: [number, number] = tools.isQuick ? [10_000, 200_000] : [10_000, 5_000_000];
  const stores: Store[] = [];
  try {
    for (const count of messages) stores.push(await fillStore(tools, count));
    const [small, large] = stores;
    if (small === undefined || large === undefined) throw new Error('there are two stores');
    const found = new Map<string, number>();
    for (let round = -1; round < ROUNDS; round++) {
      for (const store of stores) {
        tools.note(`size: round ${round + 1} of ${ROUNDS}, ${store.messages} messages ...`);
        for (const [name, p99Ms] of Object.entries(await measureRound(tools, store))) {
          // The first warms up.
          if (round >= 0) found.set(`${name} ${store.messages} ${round}`, p99Ms);
        }
      }
    }
    const of = (name: string): [number, number] => {
      const medianOf = ({ messages }: Store) =>
        median(
          Array.from(
            { length: ROUNDS },
            (_, round) => found.get(`${name} ${messages} ${round}`) ?? Number.NaN,
          ),
        );
      return [medianOf(small), medianOf(large)];
    };
    const p99Ms = {
      ingest: of('ingest'),
      feed: of('feed'),
      list: of('list'),
      mailboxList: of('mailboxList'),
    };
    return { messages, p99Ms };
  } finally {
    for (const { variant, sql } of stores) {
      await sql.end();
      await endProcess(variant.child);
    }
  }
}

/** As ingest would have left it, but for the bytes of the mails and the words for the search, which none of this reads. */
async function fillStore({ createDatabase, send, note }: Tools, messages: number): Promise<Store> {
  const url = await createDatabase(`size_${messages}`);
  const variant = await startMailgress(`${messages} messages`, url, []);
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await send({ ...variant.target, mail: 'plain', connections: 1, requests: 1 });
  const [one] = await sql<[{ id: string; document: string }]>`
    SELECT id, ((document::jsonb - 'headers') || '{"headers": []}')::text AS document FROM messages`;
  await sql`
    INSERT INTO mailboxes (id, tenant, address)
    SELECT mailgress_uuidv7(), 'default', 'user' || n || '@example.org' FROM generate_series(1, ${MAILBOXES}::int) n`;
  await sql`SET synchronous_commit = off`;
  for (let made = 1; made < messages; made += CHUNK) {
    note(`size: ${made} of ${messages} messages ...`);
    await sql`
      WITH boxes AS (SELECT array_agg(id) AS ids FROM mailboxes), made AS MATERIALIZED (
        SELECT mailgress_uuidv7() AS id, ids[1 + n % cardinality(ids)] AS mailbox_id
        FROM boxes, generate_series(1, ${Math.min(CHUNK, messages - made)}::int) n
      ), stored AS (
        INSERT INTO messages (id, mailbox_id, tenant, placement, from_address, subject, received_at, is_truncated, document)
        SELECT id, mailbox_id, 'default', 'inbox', 'ada@example.com', 'Hello', now(), false,
               replace(${one.document}, ${idOf('msg', one.id)}, 'msg_' || replace(id::text, '-', ''))::json
        FROM made
      ), raw AS (
        INSERT INTO raw_mails (message_id, bytes, is_compressed) SELECT id, '', false FROM made
      ), known AS (
        INSERT INTO dedupe_ledger (mailbox_id, key, message_id) SELECT mailbox_id, gen_random_uuid(), id FROM made
      )
      INSERT INTO events (id, type, tenant, mailbox_id) SELECT id, 'message.received', 'default', mailbox_id FROM made`;
    await sql`
      UPDATE search_cursor SET (xid, event_id) = (SELECT xid, id FROM events ORDER BY xid DESC, id DESC LIMIT 1)`;
  }
  note(`size: VACUUM of ${messages} messages ...`);
  await sql`VACUUM ANALYZE`;
  await sql`CHECKPOINT`;
  // Into the memory of the machine, whose disk is not what is compared; no index holds the subject.
  await sql`SELECT count(subject) FROM messages`;
  return { variant, sql, base: `http://127.0.0.1:${variant.target.port}`, messages };
}

async function measureRound({ send }: Tools, { variant, sql, base, messages }: Store) {
  const { p99Ms } = await send({ ...variant.target, mail: 'plain', connections: 8, requests: MAILS });
  const places = await sql<{ xid: string; id: string; mailboxId: string }[]>`
    SELECT xid::text AS xid, id, mailbox_id AS "mailboxId" FROM events
    TABLESAMPLE BERNOULLI (${Math.min(100, (READS * 300) / messages)}) ORDER BY random() LIMIT ${READS}`;
  const feed = places.map(({ xid, id }) => `/v1/events?limit=50&after=${printCursor({ xid, uuid: id })}`);
  const list = places.map(
    ({ id }) => `/v1/messages?limit=50&after=${Buffer.from(idOf('msg', id)).toString('base64url')}`,
  );
  const mailboxList = places.map(
    ({ mailboxId }) => `/v1/messages?limit=50&mailbox=${idOf('mbx', mailboxId)}`,
  );
  return {
    ingest: p99Ms,
    feed: await measureReads(base, feed),
    list: await measureReads(base, list),
    mailboxList: await measureReads(base, mailboxList),
  };
}

/** p99 of requests one after the other, in ms. */
async function measureReads(base: string, paths: readonly string[]): Promise<number> {
  const tookMs: number[] = [];
  for (const path of paths) {
    const startedMs = performance.now();
    const answer = await fetch(base + path, { headers: { authorization: `Bearer ${BENCH_TOKEN}` } });
    const body = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${body}`);
    tookMs.push(performance.now() - startedMs);
  }
  return tookMs.sort((a, b) => a - b)[Math.floor(tookMs.length * 0.99)] ?? Number.NaN;
}

export function printSize({ messages: [few, many], p99Ms }: SizeFigures): string {
  const line = (name: string, [small, large]: [number, number]) =>
    `  ${name.padEnd(29)}${small.toFixed(1).padStart(8)} ms${large.toFixed(1).padStart(8)} ms${(large / small).toFixed(2).padStart(8)} x\n`;
  return (
    `\np99 with ${few} and with ${many} messages\n` +
    line('a mail, 8 at a time', p99Ms.ingest) +
    line('a page of the feed', p99Ms.feed) +
    line('a page of messages', p99Ms.list) +
    line('the newest of a mailbox', p99Ms.mailboxList)
  );
}
