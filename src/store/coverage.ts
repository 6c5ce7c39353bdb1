import type { Fragment, Sql } from 'postgres';

/*
 * A standby source sleeps while another wanted source of its mailbox is proven alive. Each kind proves it in its own time:
 * - a script reports each 15 minutes; three missed, and a minute for its trigger;
 * - Gmail is looked at each 10 minutes at the latest. It has failed for 10 minutes, or nobody has looked at all, or its
 *   watch has lapsed, or it needs a person;
 * - an imap session is proven each minute. Another standby proves nothing, or two would send each other to sleep;
 * - a program that sends raw mail never says that it is there.
 */

const SCRIPT_SILENT_MINUTES = 46;
const GMAIL_FAILING_MINUTES = 10;
const GMAIL_UNSEEN_MINUTES = 25;
const IMAP_UNSEEN_MINUTES = 3;

/** A condition on a row of `sources`: another source of its mailbox is proven alive. */
export function isCovered(sql: Sql): Fragment {
  const within = (minutes: number) =>
    sql`other.last_proven_alive_at > now() - ${minutes}::int * interval '1 minute'`;
  return sql`EXISTS (
    SELECT FROM sources other
    WHERE other.mailbox_id = sources.mailbox_id AND other.id <> sources.id AND other.is_wanted
      AND CASE other.kind
        WHEN 'apps-script' THEN other.heartbeat->>'paused' IS DISTINCT FROM 'true' AND ${within(SCRIPT_SILENT_MINUTES)}
        WHEN 'gmail' THEN other.state NOT IN ('needs_reauth', 'disabled')
          AND ${within(GMAIL_UNSEEN_MINUTES)} AND (other.failures = 0 OR ${within(GMAIL_FAILING_MINUTES)})
          AND NOT EXISTS (
            SELECT FROM gmail_watches watch WHERE watch.account = other.account AND watch.expires_at < now()
          )
        WHEN 'imap' THEN NOT ${isStandby(sql, 'other')} AND other.state NOT IN ('needs_reauth', 'disabled')
          AND ${within(IMAP_UNSEEN_MINUTES)}
        ELSE false
      END
  )`;
}

/** A condition on a row of sources: it is to wake only while no other is alive. */
export function isStandby(sql: Sql, table: 'sources' | 'other'): Fragment {
  return sql`coalesce((${sql(table)}.settings->>'standby')::boolean, false)`;
}
