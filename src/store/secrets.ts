import { and, eq } from 'drizzle-orm';
import type { Id } from '../core/ids.ts';
import type { Keyring } from '../core/sealed.ts';
import type { Drizzle } from './database.ts';
import { endpoints, sources } from './schema.ts';

/** How long the secret before the last rotation still counts. */
export const ROTATION_OVERLAP_MS = 24 * 60 * 60 * 1000;

/** What a sealed secret is bound to: its row and its purpose. */
export function secretContext(id: Id): string {
  return `${id}/secret`;
}

/** The secrets in force, newest first: two for a day after a rotation. */
export function openSecrets(
  keyring: Keyring,
  row: {
    id: Id;
    secret: Uint8Array | null;
    previousSecret: Uint8Array | null;
    previousSecretUntil: Date | null;
  },
  now: Date = new Date(),
): string[] {
  const isOverlapping = row.previousSecretUntil !== null && row.previousSecretUntil > now;
  const sealed = [row.secret, isOverlapping ? row.previousSecret : null];
  return sealed.filter((value) => value !== null).map((value) => keyring.open(value, secretContext(row.id)));
}

/**
 * Seals again with the ring's first key what another key sealed, so that the old key can be taken away. Safe to
 * repeat and to run in several processes.
 *
 * @returns how many rows were sealed again.
 */
export async function resealSecrets(db: Drizzle, keyring: Keyring): Promise<number> {
  return (await resealTable(db, keyring, sources)) + (await resealTable(db, keyring, endpoints));
}

async function resealTable(
  db: Drizzle,
  keyring: Keyring,
  table: typeof sources | typeof endpoints,
): Promise<number> {
  const rows = await db
    .select({ id: table.id, secret: table.secret, previousSecret: table.previousSecret })
    .from(table);
  let count = 0;
  for (const { id, secret, previousSecret } of rows) {
    const context = secretContext(id);
    const reseal = (sealed: Uint8Array | null) =>
      sealed === null ? null : keyring.seal(keyring.open(sealed, context), context);
    if (secret === null || ![secret, previousSecret].some((sealed) => sealed && keyring.isOutdated(sealed))) {
      continue;
    }
    const done = await db
      .update(table)
      .set({ secret: reseal(secret) ?? secret, previousSecret: reseal(previousSecret) })
      // Compare and set: a rotation that came in between wins.
      .where(and(eq(table.id, id), eq(table.secret, secret)))
      .returning({ id: table.id });
    count += done.length;
  }
  return count;
}
