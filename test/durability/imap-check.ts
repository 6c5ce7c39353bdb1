import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';
import type { Sql } from 'postgres';
import type { Dovecot } from '../support/imap/dovecot.ts';
import type { FlakyConsumer } from './flaky-consumer.ts';
import type { Post } from './imap-post.ts';

type Run = { sql: Sql; dovecot: Dovecot; post: Post; consumer: FlakyConsumer };

/** Nothing new for so long, with all time that is waited for let pass, is the end. */
const PATIENCE_MS = 60_000;

/** Lets the time pass that is waited for: tries of sources, stubs and deliveries. */
export function hurryTime(sql: Sql): { stop(): Promise<void> } {
  let isOver = false;
  const running = (async () => {
    for (let round = 0; !isOver; round++) {
      await sql`
        UPDATE sources SET due_at = now(), slow_until = NULL
        WHERE kind = 'imap' AND lease_owner IS NULL AND greatest(due_at, slow_until) > now() + interval '1 second'`;
      await sql`
        UPDATE deliveries SET next_attempt_at = now()
        WHERE status = 'pending' AND lease_owner IS NULL AND next_attempt_at > now() + interval '1 second'`;
      if (round % 6 === 0) await hurryStubs(sql);
      await wait(500);
    }
  })();
  return {
    async stop() {
      isOver = true;
      await running;
    },
  };
}

/** A session comes back for a stub by its own clock, or when it is asked to look. */
async function hurryStubs(sql: Sql): Promise<void> {
  await sql`
    WITH hurried AS (
      UPDATE stubs SET due_at = now() WHERE status = 'pending' AND due_at > now() + interval '1 second'
      RETURNING source_id
    )
    UPDATE sources SET hinted_at = now() WHERE id IN (SELECT source_id FROM hurried)`;
}

/** Resolves once nothing is left to be done; says what is, when nothing happens any more. */
export async function waitForEnd(run: Run): Promise<void> {
  let last = '';
  let movedMs = performance.now();
  for (;;) {
    const left = await whatIsLeft(run);
    const now = JSON.stringify(left);
    if (Object.values(left).every((count) => count === 0)) return;
    if (now !== last) movedMs = performance.now();
    last = now;
    if (performance.now() - movedMs > PATIENCE_MS) {
      throw new Error(`nothing happens any more, and left are ${now}\n${await describeMissing(run)}`);
    }
    await wait(250);
  }
}

async function whatIsLeft({ sql, post, consumer }: Run): Promise<Record<string, number>> {
  const [row] = await sql<[Record<string, number>]>`
    SELECT (SELECT count(*)::int FROM messages) AS messages,
           (SELECT count(*)::int FROM gaps WHERE recovered_at IS NULL) AS gaps,
           (SELECT count(*)::int FROM stubs WHERE status = 'pending') AS stubs,
           (SELECT count(*)::int FROM sources WHERE state <> 'idle') AS "notIdle",
           (SELECT count(*)::int FROM deliveries WHERE status = 'pending') AS deliveries`;
  const { messages = 0, ...left } = row;
  const taken = [...consumer.messages.values()].filter(({ isTaken }) => isTaken).length;
  return {
    ...left,
    missing: Math.max(0, post.posted.size - messages),
    untold: Math.max(0, messages - taken),
  };
}

/** Each mail that is not stored: what it was, and where its server has it now. */
async function describeMissing({ sql, dovecot, post }: Run): Promise<string> {
  const stored = await storedSubjects(sql);
  const missing = [...post.posted.values()].filter(({ subject, user }) => !stored.has(`${user} ${subject}`));
  const lines: string[] = [];
  for (const { subject, user, folder, how } of missing.slice(0, 20)) {
    const search = ['-u', user, 'mailbox uid hdr.subject', 'HEADER', 'Subject', subject];
    const found = await dovecot.doveadm(['-f', 'flow', 'fetch', ...search]);
    const places = found.split('\n').filter((line) => line.endsWith(`=${subject}`));
    lines.push(
      `${subject} to ${user}, put into ${folder} by ${how}, is now at ${places.join('; ') || 'no place'}`,
    );
  }
  const users = [...new Set(missing.map(({ user }) => user))];
  return [`missing are ${missing.length} mails`, ...lines, await describeSources(sql, users)].join('\n');
}

/** What the store knows of these mailboxes, and of those that are not well. */
async function describeSources(sql: Sql, users: readonly string[]): Promise<string> {
  const rows = await sql`
    SELECT address, sources.id, state, reason, failures, fault, lease_owner, lease_until, last_proven_alive_at, hinted_at, now(),
           path, uid_validity, uid, read_at, refusals, strikes, folders.error
    FROM sources JOIN mailboxes ON mailboxes.id = mailbox_id LEFT JOIN imap_folders folders ON source_id = sources.id
    WHERE address = ANY(${users}) OR state <> 'idle' ORDER BY address, path`;
  const gaps = await sql`
    SELECT address, gaps.* FROM gaps JOIN sources ON sources.id = source_id JOIN mailboxes ON mailboxes.id = mailbox_id
    WHERE recovered_at IS NULL OR address = ANY(${users}) ORDER BY opened_at`;
  const stubs = await sql`
    SELECT address, provider_id, status, stubs.error, attempts FROM stubs
    JOIN sources ON sources.id = source_id JOIN mailboxes ON mailboxes.id = mailbox_id
    WHERE status <> 'missing' OR address = ANY(${users})`;
  return [...rows, ...gaps, ...stubs].map((row) => JSON.stringify(row)).join('\n');
}

async function storedSubjects(sql: Sql): Promise<Map<string, number>> {
  const rows = await sql<{ key: string; count: number }[]>`
    SELECT address || ' ' || subject AS key, count(*)::int AS count
    FROM messages JOIN mailboxes ON mailboxes.id = mailbox_id GROUP BY 1`;
  return new Map(rows.map(({ key, count }) => [key, count]));
}

/** What must hold once nothing is left to be done. */
export async function checkMailboxes(run: Run): Promise<{ gone: number; gaps: number }> {
  const { sql, post, consumer } = run;
  const stored = await storedSubjects(sql);
  const wanted = [...post.posted.values()].map(({ user, subject }) => `${user} ${subject}`);
  const missing = wanted.filter((key) => !stored.has(key));
  assert.deepEqual(missing, [], await describeMissing(run));
  const doubled = [...stored].filter(([, count]) => count !== 1);
  assert.deepEqual(doubled, [], 'each mail is one message');
  assert.equal(stored.size, wanted.length, 'nothing is stored that nobody has sent');

  const [halves] = await sql`
    SELECT
      (SELECT count(*)::int FROM messages LEFT JOIN events USING (id) WHERE events.id IS NULL) AS "noEvent",
      (SELECT count(*)::int FROM events LEFT JOIN messages USING (id)
       WHERE type = 'message.received' AND messages.id IS NULL) AS "onlyEvent",
      (SELECT count(*)::int FROM messages LEFT JOIN raw_mails ON message_id = id WHERE message_id IS NULL) AS "noBytes",
      (SELECT count(*)::int FROM messages FULL JOIN dedupe_ledger ON message_id = id
       WHERE id IS NULL OR message_id IS NULL) AS ledger,
      (SELECT count(*)::int FROM stubs WHERE status <> 'missing') AS stubs,
      (SELECT count(*)::int FROM gaps WHERE recovered_at IS NULL) AS "openGaps",
      (SELECT count(*)::int FROM sources WHERE state <> 'idle' OR reason IS NOT NULL) AS "notWell"`;
  const none = { noEvent: 0, onlyEvent: 0, noBytes: 0, ledger: 0, stubs: 0, openGaps: 0, notWell: 0 };
  assert.deepEqual({ ...halves }, none, 'nothing is half there, and nothing is left to be done');

  const messages = await sql<{ id: string }[]>`SELECT replace(id::text, '-', '') AS id FROM messages`;
  const told = [...consumer.messages].map(([id, one]) => [id, [...one.webhookIds], one.isTaken]);
  const expected = messages.map(({ id }) => [`msg_${id}`, [`evt_${id}`], true]);
  assert.deepEqual(told.sort(), expected.sort(), 'each message came, under one id, and was taken');

  const [counts] = await sql`
    SELECT (SELECT count(*)::int FROM stubs) AS gone, (SELECT count(*)::int FROM gaps) AS gaps`;
  return { gone: counts?.gone, gaps: counts?.gaps };
}

/**
 * Resolves once every folder is read to its end, also of mail that was moved there and is stored already. Its end is the last
 * mail there is: UIDs of those that have gone since need not have been seen.
 */
export async function waitForCursors({ sql, dovecot }: Run): Promise<void> {
  await sql`UPDATE sources SET hinted_at = now()`;
  const readFolders = () => sql<{ address: string; path: string; uidValidity: number; uid: number }[]>`
    SELECT address, path, uid_validity::float8 AS "uidValidity", uid::float8 AS uid FROM imap_folders
    JOIN sources ON sources.id = source_id JOIN mailboxes ON mailboxes.id = mailbox_id`;
  const ends = new Map<string, { uidValidity: number; last: number }>();
  for (const { address, path } of await readFolders()) {
    const { uidValidity } = await dovecot.status(address, path);
    const found = await dovecot.doveadm(['-f', 'flow', 'fetch', '-u', address, 'uid', 'mailbox', path]);
    const uids = [...found.matchAll(/uid=(\d+)/g)].map(([, uid]) => Number(uid));
    ends.set(`${path} of ${address}`, { uidValidity, last: Math.max(0, ...uids) });
  }
  let behind: { address: string; text: string }[] = [];
  const fromMs = performance.now();
  do {
    behind = (await readFolders()).flatMap(({ address, path, uidValidity, uid }) => {
      const end = ends.get(`${path} of ${address}`);
      if (end?.uidValidity === uidValidity && end.last <= uid) return [];
      const text = `${path} of ${address} is at ${uidValidity} ${uid}, not ${JSON.stringify(end)}`;
      return [{ address, text }];
    });
    if (behind.length > 0) await wait(250);
  } while (behind.length > 0 && performance.now() - fromMs < PATIENCE_MS);
  if (behind.length === 0) return;
  const users = behind.map(({ address }) => address);
  const texts = behind.map(({ text }) => text).join('\n');
  throw new Error(`folders are not read to their ends:\n${texts}\n${await describeSources(sql, users)}`);
}

/** Has the database note whenever a cursor goes back under one UIDVALIDITY. */
export async function noteStepsBack(sql: Sql): Promise<void> {
  await sql.unsafe(`
    CREATE TABLE test_steps_back (source_id uuid, path text, uid bigint, next bigint);
    CREATE FUNCTION test_step_back() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO test_steps_back VALUES (OLD.source_id, OLD.path, OLD.uid, NEW.uid); RETURN NULL; END $$;
    CREATE TRIGGER test_step_back AFTER UPDATE ON imap_folders FOR EACH ROW
      WHEN (NEW.uid_validity = OLD.uid_validity AND NEW.uid < OLD.uid) EXECUTE FUNCTION test_step_back()`);
}

/** A cursor went back only where a gap stands for it. */
export async function checkStepsBack(sql: Sql): Promise<void> {
  const rows = await sql`
    SELECT * FROM test_steps_back back WHERE NOT EXISTS (
      SELECT FROM gaps WHERE gaps.source_id = back.source_id AND folder = back.path AND reason = 'state_lost'
    )`;
  assert.deepEqual([...rows], [], 'a cursor went back');
}
