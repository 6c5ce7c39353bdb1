import { after } from 'node:test';
import postgres, { type Sql } from 'postgres';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { createHintRecorder } from '../../src/store/hints.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { type GmailWorld, startGmailWorld, type WorldSettings } from '../support/gmail/world.ts';
import type { Answer, TestService } from '../support/service.ts';
import { startGmailService } from './gmail-service.ts';

type GmailServiceOptions = Parameters<typeof startGmailService>[1];

/** A Gmail for the tests of a file; gone after them. */
export async function openWorld(settings: WorldSettings): Promise<GmailWorld> {
  const world = await startGmailWorld(settings);
  after(() => world.close());
  return world;
}

/**
 * A service that reads it, with a connection to its database; both are gone after the tests of the file.
 *
 * `restart` ends it and starts another in its place, with other options where given.
 */
export async function openService(
  world: GmailWorld,
  options: GmailServiceOptions = {},
): Promise<{ service: TestService; sql: Sql; restart(others?: GmailServiceOptions): Promise<void> }> {
  const database = await createTestDatabase();
  const { url: databaseUrl } = database;
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} });
  const service = await startGmailService(world, { ...options, databaseUrl });
  after(async () => {
    await service.stop();
    await sql.end({ timeout: 5 });
    await database.drop();
  });
  return {
    service,
    sql,
    async restart(others) {
      await service.stop();
      Object.assign(service, await startGmailService(world, { ...options, ...others, databaseUrl }));
    },
  };
}

export async function sourceOf(service: TestService, id: string): Promise<Answer['body']> {
  return (await service.api('GET', `/v1/sources/${id}`)).body;
}

/** Resolves once nobody works on the source and `claim` holds of it. */
export async function untilSource(
  service: TestService,
  id: string,
  what: string,
  claim: (source: Answer['body']) => boolean = () => true,
): Promise<Answer['body']> {
  let source: Answer['body'];
  await waitUntil(`the source ${what}`, async () => {
    source = await sourceOf(service, id);
    return source.leaseHolder === null && claim(source);
  });
  return source;
}

/** What the passing of time does: the source is due now, unless it was told to be patient. */
export async function makeDue(sql: Sql, id: Id<'src'>): Promise<void> {
  await sql`UPDATE sources SET due_at = now() WHERE id = ${uuidOf(id)}`;
}

/** Has the source looked at, and resolves when that look has ended. */
export async function lookAt(sql: Sql, id: Id<'src'>): Promise<void> {
  await untilFree(sql, id);
  const [before] = await sql`SELECT fence::int FROM sources WHERE id = ${uuidOf(id)}`;
  await makeDue(sql, id);
  await waitUntil('the source was looked at', async () => {
    const [row] = await sql`
      SELECT fence::int, lease_until IS NULL AS "isFree" FROM sources WHERE id = ${uuidOf(id)}`;
    return row?.isFree && row.fence > before?.fence;
  });
}

export async function untilFree(sql: Sql, id: Id<'src'>): Promise<void> {
  await waitUntil('the source was looked at and nobody works on it', async () => {
    const [row] = await sql`
      SELECT lease_until IS NULL AND fence > 0 AND due_at > now() AS "isFree" FROM sources WHERE id = ${uuidOf(id)}`;
    return row?.isFree;
  });
}

/** What a push of Gmail leaves behind. */
export async function hint(sql: Sql, account: string, historyId: string): Promise<void> {
  await createHintRecorder(sql, { onHints: () => {} }).submit({ address: account, historyId });
}

/** The feed waits for every transaction that is older, also of other databases: what is committed by now is in it then. */
async function untilFeedIsHere(service: TestService): Promise<void> {
  const sql = postgres(service.databaseUrl, { max: 1, onnotice: () => {} });
  try {
    const [now] = await sql`SELECT pg_current_xact_id()::text AS xid`;
    await waitUntil('the feed has what is committed', async () => {
      const [row] = await sql`
        SELECT pg_snapshot_xmin(pg_current_snapshot()) > ${now?.xid}::text::xid8 AS "isHere"`;
      return row?.isHere;
    });
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** The events of these types about a source, in order. */
export async function eventsOf(
  service: TestService,
  sourceId: string,
  ...types: string[]
): Promise<Answer['body'][]> {
  await untilFeedIsHere(service);
  const { body } = await service.api('GET', `/v1/events?limit=500&types=${types.join(',')}`);
  return body.data.filter(({ data }: Answer['body']) => (data.source?.id ?? data.gap?.sourceId) === sourceId);
}

/** The start ids and tokens of each page of history that was asked for, in order. */
export function historyCalls(world: GmailWorld, account: string): { start: string; token: string | null }[] {
  return world.ledger.entries
    .filter((entry) => entry.name === 'history.list' && entry.account === account)
    .map(({ params }) => ({ start: params.get('startHistoryId') ?? '', token: params.get('pageToken') }));
}
