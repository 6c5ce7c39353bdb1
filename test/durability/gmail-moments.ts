import type { Sql } from 'postgres';
import type { Entry } from '../support/gmail/ledger.ts';
import type { PushDriver } from '../support/gmail/push-driver.ts';
import type { GmailWorld } from '../support/gmail/world.ts';

/*
 * The moments at which a process that reads Gmail is killed: seen from outside, by what it asks of Gmail, by the acks of
 * pushes, and by what it commits, of which triggers on a test's own database tell.
 */

export type Scene = { world: GmailWorld; driver: PushDriver; sql: Sql; accounts: readonly string[] };

export type Moment = {
  name: string;
  /** While no process runs. */
  prepare?: (scene: Scene) => Promise<unknown>;
  /** Calls `strike` when it has come. @returns what takes the watch off again. */
  watch: (scene: Scene, strike: () => void) => Promise<() => unknown>;
  /** Asked after the kill: whether the process was where it should be. */
  isHit?: (scene: Scene) => Promise<boolean>;
};

const CHANNEL = 'test_moments';

/** What the database tells of itself. */
const TRIGGERS: Record<string, string> = {
  stubbed: 'INSERT ON stubs FOR EACH ROW',
  settled: 'DELETE ON stubs FOR EACH ROW',
  stored: 'INSERT ON dedupe_ledger FOR EACH ROW',
  gapped: 'INSERT ON gaps FOR EACH ROW',
  listing: 'UPDATE ON gaps FOR EACH ROW WHEN (OLD.page_token IS DISTINCT FROM NEW.page_token)',
  listed: 'UPDATE ON gaps FOR EACH ROW WHEN (OLD.listed_at IS NULL AND NEW.listed_at IS NOT NULL)',
  ended: 'UPDATE ON sources FOR EACH ROW WHEN (OLD.synced_at IS DISTINCT FROM NEW.synced_at)',
};

export async function addTriggers(sql: Sql): Promise<void> {
  await sql.unsafe(`CREATE FUNCTION test_moment() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('${CHANNEL}', TG_ARGV[0]); RETURN NULL; END $$`);
  for (const [name, when] of Object.entries(TRIGGERS))
    await sql.unsafe(`CREATE TRIGGER test_${name} AFTER ${when} EXECUTE FUNCTION test_moment('${name}')`);
}

const committed =
  (name: keyof typeof TRIGGERS): Moment['watch'] =>
  async ({ sql }, strike) => {
    const { unlisten } = await sql.listen(CHANNEL, (told) => {
      if (told === name) strike();
    });
    return unlisten;
  };

const called =
  (moment: 'asked' | 'answered', isIt: (entry: Entry) => boolean): Moment['watch'] =>
  async ({ world }, strike) =>
    world.addHook((entry, at) => {
      if (at === moment && isIt(entry)) strike();
    });

const expireHistories = async ({ world, accounts }: Scene) => {
  for (const account of accounts) await world.expireHistory(account);
};

/** True if the query finds a row. */
const finds =
  (query: string): NonNullable<Moment['isHit']> =>
  async ({ sql }) =>
    (await sql.unsafe(`${query} LIMIT 1`)).length > 0;

const PENDING = `SELECT FROM stubs JOIN sources ON sources.id = source_id WHERE stubs.status = 'pending'`;
const STORED =
  'EXISTS (SELECT FROM dedupe_ledger l WHERE l.mailbox_id = sources.mailbox_id AND l.key = stubs.key)';

/** Of the call that the last strike followed. */
let last: Entry | undefined;
const remembered = (isIt: (entry: Entry) => boolean) => (entry: Entry) => {
  if (isIt(entry)) last = entry;
  return last === entry;
};

export const MOMENTS: readonly Moment[] = [
  {
    name: 'after a hint was acked',
    watch: async ({ driver }, strike) => {
      driver.onAck(strike);
      return () => driver.onAck(() => {});
    },
    isHit: finds('SELECT FROM sources WHERE hinted_at > coalesce(synced_at, created_at)'),
  },
  {
    name: 'after stubs were kept',
    watch: committed('stubbed'),
    isHit: finds(PENDING),
  },
  {
    name: 'after a mail was fetched',
    watch: called(
      'answered',
      remembered(
        ({ name, status, fault }) => name === 'messages.get' && status === 200 && fault === undefined,
      ),
    ),
    isHit: async ({ sql }) =>
      (
        await sql`SELECT FROM stubs JOIN sources ON sources.id = source_id
        WHERE provider_id = ${last?.messageId ?? ''} AND stubs.status = 'pending' AND NOT ${sql.unsafe(STORED)}`
      ).length > 0,
  },
  {
    name: 'after a mail was stored',
    watch: committed('stored'),
    isHit: finds(`${PENDING} AND ${STORED}`),
  },
  {
    name: 'in the middle of a page',
    watch: committed('settled'),
    isHit: finds(PENDING),
  },
  {
    name: 'before history was answered',
    watch: called('asked', ({ name }) => name === 'history.list'),
  },
  {
    name: 'after history was answered, before it was kept',
    watch: called(
      'answered',
      remembered(
        ({ name, status, fault }) => name === 'history.list' && status === 200 && fault === undefined,
      ),
    ),
    isHit: async ({ sql }) =>
      (
        await sql`SELECT FROM sources
        WHERE account = ${last?.account ?? ''} AND cursor = ${last?.params.get('startHistoryId') ?? ''}`
      ).length > 0,
  },
  {
    name: 'between two pages of history',
    watch: called('asked', ({ name, params }) => name === 'history.list' && params.has('pageToken')),
  },
  {
    name: 'after a gap was opened',
    prepare: expireHistories,
    watch: committed('gapped'),
    isHit: finds('SELECT FROM gaps WHERE recovered_at IS NULL'),
  },
  {
    name: 'between two pages of a gap',
    prepare: expireHistories,
    watch: committed('listing'),
    isHit: finds('SELECT FROM gaps WHERE recovered_at IS NULL AND page_token IS NOT NULL'),
  },
  {
    name: 'after a gap was listed',
    prepare: expireHistories,
    watch: committed('listed'),
    isHit: finds('SELECT FROM gaps WHERE recovered_at IS NULL AND listed_at IS NOT NULL'),
  },
  {
    name: 'after a watch was answered',
    prepare: ({ sql }) => sql`
      WITH due AS (UPDATE gmail_watches SET due_at = now()) UPDATE sources SET due_at = now()`,
    watch: called('answered', ({ name, status }) => name === 'watch' && status === 200),
  },
  {
    name: 'while a token was asked for',
    watch: called('asked', ({ name }) => name === 'token'),
  },
  {
    name: 'after a look ended',
    watch: committed('ended'),
  },
];
