import type { Sql } from 'postgres';
import { type Credentials, credentialsSchema } from '../core/credentials.ts';
import { type Id, type IdPrefix, idOf, uuidOf } from '../core/ids.ts';
import { type ImapCredentials, imapCredentialsSchema } from '../core/imap-settings.ts';
import type { Keyring } from '../core/sealed.ts';

/** How long the secret before the last rotation still counts. */
export const ROTATION_OVERLAP_MS = 24 * 60 * 60 * 1000;

/** A secret of an endpoint from before its previous one, sealed, in hex, and until when it signs (ISO 8601). */
export type OlderSecret = { sealed: string; until: string };

/** The sealed columns of a source or endpoint. */
export type SealedSecrets = {
  secret: Uint8Array | null;
  previousSecret: Uint8Array | null;
  previousSecretUntil: Date | null;
  /** Newest first. */
  olderSecrets?: OlderSecret[];
};

/** What a sealed secret is bound to: its row and its purpose. */
export function secretContext(id: Id): string {
  return `${id}/secret`;
}

/** What sealed credentials are bound to. */
function credentialsContext(id: Id<'src'>): string {
  return `${id}/credentials`;
}

/** What an endpoint's own headers are bound to. */
function headersContext(id: Id<'ep'>): string {
  return `${id}/headers`;
}

/** @returns null for none. */
export function sealHeaders(
  keyring: Keyring,
  id: Id<'ep'>,
  headers: Readonly<Record<string, string>>,
): Buffer | null {
  return Object.keys(headers).length === 0 ? null : keyring.seal(JSON.stringify(headers), headersContext(id));
}

/** @throws MailgressError `configuration` when no key of the ring opens them. */
export function openHeaders(
  keyring: Keyring,
  id: Id<'ep'>,
  sealed: Uint8Array | null,
): Record<string, string> {
  return sealed === null ? {} : JSON.parse(keyring.open(sealed, headersContext(id)));
}

export function sealCredentials(
  keyring: Keyring,
  id: Id<'src'>,
  credentials: Credentials | ImapCredentials,
): Buffer {
  return keyring.seal(JSON.stringify(credentials), credentialsContext(id));
}

/** @throws MailgressError `configuration` when no key of the ring opens them. */
export function openCredentials(keyring: Keyring, id: Id<'src'>, sealed: Uint8Array): Credentials {
  return credentialsSchema.parse(JSON.parse(keyring.open(sealed, credentialsContext(id))));
}

/**
 * Those of a source of kind imap. The version before kept a consent for Outlook without the user, which its account is.
 *
 * @throws as `openCredentials`.
 */
export function openImapCredentials(
  keyring: Keyring,
  source: { id: Id<'src'>; account: string | null },
  sealed: Uint8Array,
): ImapCredentials {
  const opened: unknown = JSON.parse(keyring.open(sealed, credentialsContext(source.id)));
  const before = credentialsSchema.safeParse(opened).data;
  if (before?.type === 'oauth' && source.account !== null) {
    return { ...before, user: source.account, provider: 'microsoft' };
  }
  return imapCredentialsSchema.parse(opened);
}

/** The secrets in force, newest first: for a day after a rotation the ones before it too. */
export function openSecrets(
  keyring: Keyring,
  id: Id,
  { secret, previousSecret, previousSecretUntil, olderSecrets = [] }: SealedSecrets,
  now: Date = new Date(),
): string[] {
  const isOverlapping = previousSecretUntil !== null && previousSecretUntil > now;
  const older = olderSecrets.filter(({ until }) => new Date(until) > now);
  const sealed = [
    secret,
    isOverlapping ? previousSecret : null,
    ...older.map((one) => Buffer.from(one.sealed, 'hex')),
  ];
  return sealed.filter((value) => value !== null).map((value) => keyring.open(value, secretContext(id)));
}

/**
 * Seals again with the ring's first key what another key sealed, so that the old key can be taken away. Safe to
 * repeat and to run in several processes.
 *
 * @returns how many rows were sealed again.
 */
export async function resealSecrets(sql: Sql, keyring: Keyring): Promise<number> {
  return (
    (await resealTable(sql, keyring, 'sources', 'src')) +
    (await resealTable(sql, keyring, 'endpoints', 'ep')) +
    (await resealOlderSecrets(sql, keyring)) +
    (await resealColumn(sql, keyring, {
      table: 'sources',
      column: 'credentials',
      contextOf: sourceContext,
    })) +
    (await resealColumn(sql, keyring, { table: 'endpoints', column: 'headers', contextOf: endpointContext }))
  );
}

const sourceContext = (uuid: string) => credentialsContext(idOf('src', uuid));
const endpointContext = (uuid: string) => headersContext(idOf('ep', uuid));

async function resealColumn(
  sql: Sql,
  keyring: Keyring,
  { table, column, contextOf }: { table: string; column: string; contextOf: (uuid: string) => string },
): Promise<number> {
  const rows = await sql<{ id: string; sealed: Uint8Array }[]>`
    SELECT id, ${sql(column)} AS sealed FROM ${sql(table)} WHERE ${sql(column)} IS NOT NULL`;
  let count = 0;
  for (const { id, sealed } of rows) {
    if (!keyring.isOutdated(sealed)) continue;
    const context = contextOf(id);
    const done = await sql`
      UPDATE ${sql(table)} SET ${sql(column)} = ${keyring.seal(keyring.open(sealed, context), context)}
      WHERE id = ${id} AND ${sql(column)} = ${sealed}
      RETURNING id`;
    count += done.length;
  }
  return count;
}

async function resealTable(sql: Sql, keyring: Keyring, table: string, prefix: IdPrefix): Promise<number> {
  const rows = await sql<{ id: string; secret: Uint8Array; previousSecret: Uint8Array | null }[]>`
    SELECT id, secret, previous_secret AS "previousSecret" FROM ${sql(table)} WHERE secret IS NOT NULL`;
  let count = 0;
  for (const { id: uuid, secret, previousSecret } of rows) {
    const id = idOf(prefix, uuid);
    const reseal = (sealed: Uint8Array) =>
      keyring.seal(keyring.open(sealed, secretContext(id)), secretContext(id));
    if (![secret, previousSecret].some((sealed) => sealed !== null && keyring.isOutdated(sealed))) continue;
    // Compare and set: a rotation that came in between wins.
    const done = await sql`
      UPDATE ${sql(table)} SET
        secret = ${reseal(secret)}, previous_secret = ${previousSecret === null ? null : reseal(previousSecret)}
      WHERE id = ${uuidOf(id)} AND secret = ${secret}
      RETURNING id`;
    count += done.length;
  }
  return count;
}

async function resealOlderSecrets(sql: Sql, keyring: Keyring): Promise<number> {
  const rows = await sql<{ id: string; older: OlderSecret[] }[]>`
    SELECT id, older_secrets AS older FROM endpoints WHERE older_secrets <> '[]'`;
  let count = 0;
  for (const { id, older } of rows) {
    if (!older.some(({ sealed }) => keyring.isOutdated(Buffer.from(sealed, 'hex')))) continue;
    const context = secretContext(idOf('ep', id));
    const resealed = older.map(({ sealed, until }) => ({
      sealed: keyring.seal(keyring.open(Buffer.from(sealed, 'hex'), context), context).toString('hex'),
      until,
    }));
    const done = await sql`
      UPDATE endpoints SET older_secrets = ${JSON.stringify(resealed)}::text::jsonb
      WHERE id = ${id} AND older_secrets = ${JSON.stringify(older)}::text::jsonb
      RETURNING id`;
    count += done.length;
  }
  return count;
}

/** Of a large table a part: where one key is missing it shows in the first rows. */
const MAX_COUNTED = 2000;

/** How much of what is stored sealed no key of the ring opens. */
export async function countSealed(sql: Sql, keyring: Keyring): Promise<{ total: number; closed: number }> {
  const rows = await sql<{ id: string; column: 'secret' | 'credentials' | 'headers'; sealed: Uint8Array }[]>`
    SELECT 'src_' || replace(id::text, '-', '') AS id, 'secret' AS column, secret AS sealed FROM sources WHERE secret IS NOT NULL
    UNION ALL
    SELECT 'src_' || replace(id::text, '-', ''), 'credentials', credentials FROM sources WHERE credentials IS NOT NULL
    UNION ALL
    SELECT 'ep_' || replace(id::text, '-', ''), 'secret', secret FROM endpoints
    UNION ALL
    SELECT 'ep_' || replace(id::text, '-', ''), 'headers', headers FROM endpoints WHERE headers IS NOT NULL
    LIMIT ${MAX_COUNTED}`;
  let closed = 0;
  for (const { id, column, sealed } of rows) {
    try {
      keyring.open(sealed, `${id}/${column}`);
    } catch {
      closed++;
    }
  }
  return { total: rows.length, closed };
}
