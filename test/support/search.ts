import { query, waitUntil } from './embedded-place.ts';

/** Waits until every message that is stored has its words. */
export function untilSearchable(databaseUrl: string): Promise<void> {
  return waitUntil('all messages can be searched', async () => {
    const [row] = await query(
      databaseUrl,
      `SELECT count(*)::int AS count FROM messages LEFT JOIN message_search ON message_id = id
       WHERE message_id IS NULL OR is_stale`,
    );
    return row?.count === 0;
  });
}
