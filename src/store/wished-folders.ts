import type { Fragment, Sql } from 'postgres';

/**
 * A fragment, a condition on a row of `imap_folders` and its source: the source is to read that folder. One that its owner took
 * from the source keeps its cursor, to go on from if it is given back; nothing else is to be read of it meanwhile.
 *
 * As the sessions choose: by path, INBOX in any case, or by role. Without a choice of the owner's all that was begun counts.
 */
export function isFolderWished(sql: Sql, source: 'sources' | 'other'): Fragment {
  return sql`coalesce((
    SELECT bool_or(
      wish->>'path' = imap_folders.path
      OR upper(wish->>'path') = 'INBOX' AND upper(imap_folders.path) = 'INBOX'
      OR ${'\\'} || (wish->>'role') = lower(imap_folders.role)
    ) FROM jsonb_array_elements(${sql(source)}.settings->'folders') wish
  ), ${sql(source)}.settings->'folders' IS NULL)`;
}
