import { and, eq, type SQL, sql } from 'drizzle-orm';
import { createId, type Id } from '../core/ids.ts';
import type { SourceKind } from '../core/message.ts';
import { type Source, sourceStateSchema } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import { createSecret } from '../core/signature.ts';
import type { Drizzle } from './database.ts';
import { type Page, type PageRequest, pageOf, toPage } from './page.ts';
import { gaps, mailboxes, sources, stubs } from './schema.ts';
import { openSecrets, ROTATION_OVERLAP_MS, secretContext } from './secrets.ts';
import { isForeignKeyViolation } from './unavailable.ts';

/** What an ingest route needs to know of a source to take its mail. */
export type IngressSource = {
  id: Id<'src'>;
  kind: SourceKind;
  mailboxId: Id<'mbx'>;
  tenant: string;
  address: string;
  isWanted: boolean;
  /** `whsec_...`, newest first; two while one is rotated. */
  secrets: string[];
};

/** @returns the source and its secret, which no later call answers; undefined if there is no such mailbox. */
export async function createSource(
  db: Drizzle,
  keyring: Keyring,
  given: { mailboxId: Id<'mbx'>; kind: 'apps-script' | 'raw' },
): Promise<{ source: Source; secret: string } | undefined> {
  const id = createId('src');
  const secret = createSecret();
  try {
    // A push source has no connection of its own to make: it listens from the moment it exists.
    await db
      .insert(sources)
      .values({ id, ...given, state: 'idle', secret: keyring.seal(secret, secretContext(id)) });
  } catch (error) {
    if (isForeignKeyViolation(error)) return undefined;
    throw error;
  }
  const source = await findSource(db, id);
  return source && { source, secret };
}

export async function listSources(
  db: Drizzle,
  request: PageRequest & {
    mailboxId?: string | undefined;
    tenant?: string | undefined;
    state?: string | undefined;
  },
): Promise<Page<Source>> {
  const page = pageOf(sources.id, request);
  const rows = await selectSources(db)
    .where(
      and(
        page.where,
        request.mailboxId === undefined ? undefined : eq(sources.mailboxId, request.mailboxId as Id<'mbx'>),
        request.tenant === undefined ? undefined : eq(mailboxes.tenant, request.tenant),
        request.state === undefined ? undefined : eq(sources.state, request.state),
      ),
    )
    .orderBy(page.orderBy)
    .limit(page.limit);
  return toPage(rows.map(toSource), request);
}

export async function findSource(db: Drizzle, id: Id<'src'>): Promise<Source | undefined> {
  const [row] = await selectSources(db).where(eq(sources.id, id));
  return row && toSource(row);
}

/** Deletes the source with its stubs and gaps. What came through it stays with the mailbox. */
export async function deleteSource(db: Drizzle, id: Id<'src'>): Promise<boolean> {
  const rows = await db.delete(sources).where(eq(sources.id, id)).returning({ id: sources.id });
  return rows.length > 0;
}

/** What start and stop set. */
export async function setSourceWanted(
  db: Drizzle,
  id: Id<'src'>,
  isWanted: boolean,
): Promise<Source | undefined> {
  await db
    .update(sources)
    .set({ isWanted, state: isWanted ? 'idle' : 'disconnected', reason: null })
    .where(eq(sources.id, id));
  return findSource(db, id);
}

/** Makes a new secret; the one before counts for another day. */
export async function rotateSourceSecret(
  db: Drizzle,
  keyring: Keyring,
  id: Id<'src'>,
): Promise<{ source: Source; secret: string } | undefined> {
  const secret = createSecret();
  await db
    .update(sources)
    .set({
      secret: keyring.seal(secret, secretContext(id)),
      previousSecret: sql`${sources.secret}`,
      previousSecretUntil: new Date(Date.now() + ROTATION_OVERLAP_MS),
    })
    .where(eq(sources.id, id));
  const source = await findSource(db, id);
  return source && { source, secret };
}

/** One indexed read, for the ingest routes. */
export async function findIngressSource(
  db: Drizzle,
  keyring: Keyring,
  id: Id<'src'>,
): Promise<IngressSource | undefined> {
  const [row] = await db
    .select({ source: sources, tenant: mailboxes.tenant, address: mailboxes.address })
    .from(sources)
    .innerJoin(mailboxes, eq(mailboxes.id, sources.mailboxId))
    .where(eq(sources.id, id));
  if (row === undefined) return undefined;
  const { source, tenant, address } = row;
  return {
    id: source.id,
    kind: source.kind,
    mailboxId: source.mailboxId,
    tenant,
    address,
    isWanted: source.isWanted,
    secrets: openSecrets(keyring, source),
  };
}

function selectSources(db: Drizzle) {
  const count = (table: typeof stubs | typeof gaps, condition: SQL) =>
    sql<number>`(SELECT count(*)::int FROM ${table} WHERE ${table.sourceId} = ${sources.id} AND ${condition})`;
  return db
    .select({
      source: sources,
      tenant: mailboxes.tenant,
      address: mailboxes.address,
      failed: count(stubs, sql`${stubs.status} = 'failed'`),
      missing: count(stubs, sql`${stubs.status} = 'missing'`),
      openGaps: count(gaps, sql`${gaps.recoveredAt} IS NULL`),
    })
    .from(sources)
    .innerJoin(mailboxes, eq(mailboxes.id, sources.mailboxId));
}

type SourceRow = Awaited<ReturnType<typeof selectSources>>[number];

function toSource({ source, tenant, address, failed, missing, openGaps }: SourceRow): Source {
  return {
    id: source.id,
    tenant,
    mailboxId: source.mailboxId,
    address,
    kind: source.kind,
    wanted: source.isWanted,
    state: sourceStateSchema.parse(source.state),
    mode: 'push',
    reason: source.reason,
    cursor: source.cursor,
    script: source.heartbeat,
    lastProvenAliveAt: source.lastProvenAliveAt?.toISOString() ?? null,
    lastMessageAt: source.lastMessageAt?.toISOString() ?? null,
    counts: { failed, missing, openGaps },
    createdAt: source.createdAt.toISOString(),
  };
}
