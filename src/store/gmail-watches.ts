import type { Sql } from 'postgres';

/** Longer than the call takes, so that the one who renews is the only one. */
const RENEWAL_LEASE_MS = 120_000;

/**
 * Takes on the renewal of an account's watch, if that is due.
 *
 * @returns undefined if it is not, or another took it on.
 */
export async function claimWatch(sql: Sql, account: string): Promise<{ failures: number } | undefined> {
  const [claimed] = await sql<{ failures: number }[]>`
    INSERT INTO gmail_watches AS watch (account, due_at)
    VALUES (${account}, now() + ${RENEWAL_LEASE_MS}::int * interval '1 millisecond')
    ON CONFLICT (account) DO UPDATE SET due_at = excluded.due_at WHERE watch.due_at <= now()
    RETURNING failures`;
  return claimed;
}

/** Keeps what became of a renewal. */
export async function recordWatch(
  sql: Sql,
  account: string,
  result: { expiresAt: Date; dueInMs: number } | { error: string; dueInMs: number },
): Promise<void> {
  const dueIn = sql`now() + ${result.dueInMs}::bigint * interval '1 millisecond'`;
  if ('expiresAt' in result) {
    await sql`
      UPDATE gmail_watches SET expires_at = ${result.expiresAt}, failures = 0, error = NULL, due_at = ${dueIn}
      WHERE account = ${account}`;
  } else {
    await sql`
      UPDATE gmail_watches SET failures = failures + 1, error = ${result.error}, due_at = ${dueIn}
      WHERE account = ${account}`;
  }
}

export async function forgetWatch(sql: Sql, account: string): Promise<void> {
  await sql`DELETE FROM gmail_watches WHERE account = ${account}`;
}

/**
 * For a watch that was ended although somebody may need it by now: who does has it made again at once.
 *
 * @returns whether anyone does.
 */
export async function remakeWatch(sql: Sql, account: string): Promise<boolean> {
  const rows = await sql`
    WITH needed AS (
      UPDATE gmail_watches SET expires_at = NULL, due_at = now() WHERE account = ${account} RETURNING account
    )
    UPDATE sources SET due_at = now() FROM needed
    WHERE sources.account = needed.account AND kind = 'gmail' AND is_wanted
    RETURNING id`;
  return rows.length > 0;
}
