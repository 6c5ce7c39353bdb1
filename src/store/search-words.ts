import type { Fragment, Sql } from 'postgres';
import { type Id, uuidOf } from '../core/ids.ts';
import type { Placement } from '../core/message.ts';

/*
 * The words of a message are those of its text (the configuration `simple`: as they are written, in lower case), and
 * beside them one for each thing that a search can be held to: its tenant, mailbox, placement and sender. So the index
 * itself holds a search to them, and what others have of a common word costs nothing. These begin with `=` and hold a
 * blank, which no word of a text does.
 */

export type SearchFilters = {
  tenant: string | null;
  mailboxId?: Id<'mbx'> | undefined;
  placement?: Placement | undefined;
  from?: string | undefined;
};

/** The words of a row of `messages` that a search can be held to, as an array. */
export function scopeWordsOf(sql: Sql, row: string): Fragment {
  const column = (name: string) => sql(`${row}.${name}`);
  return sql`array_remove(ARRAY[
    '=t ' || ${column('tenant')}, '=m ' || replace(${column('mailbox_id')}::text, '-', ''), '=p ' || ${column('placement')},
    '=f ' || left(lower(${column('from_address')}), ${LONGEST_SENDER})
  ], NULL)`;
}

/** A longer one is no address; a word has at most 2 kB. */
const LONGEST_SENDER = 320;

/** The same as text of a tsquery, to be joined with `&`. */
export function scopeQuery({ tenant, mailboxId, placement, from }: SearchFilters): string {
  return [
    ...(tenant === null ? [] : [`=t ${tenant}`]),
    ...(mailboxId === undefined ? [] : [`=m ${uuidOf(mailboxId)}`]),
    ...(placement === undefined ? [] : [`=p ${placement}`]),
    ...(from === undefined ? [] : [`=f ${from.toLowerCase()}`]),
  ]
    .map((word) => ` & '${word.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`)
    .join('');
}
