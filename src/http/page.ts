import { hash } from 'node:crypto';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { type IdPrefix, isId } from '../core/ids.ts';
import type { Page, PageRequest } from '../store/page.ts';
import type { Scope } from '../store/scope.ts';

/** `?limit=` and `?after=` of every list. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(500).default(50),
  after: z.string().max(200).optional().describe('`next` of the page before'),
};

/** `{data, next}`. */
export function pageSchema<T extends z.ZodType>(item: T) {
  return z.object({ data: z.array(item), next: z.string().nullable() });
}

/**
 * Opaque to callers: the last id of the page. Its prefix says which list it is of.
 *
 * @param scope of whom the list is asked for.
 * @param of what the list is one of, where that is not told by the prefix: a search.
 *
 * @throws MailgressError `bad_request` for a cursor of another list or none of ours.
 */
export function parsePage(
  { tenant }: Scope,
  prefix: IdPrefix,
  query: { limit: number; after?: string | undefined },
  of?: string,
): PageRequest {
  const scope = { tenant };
  if (query.after === undefined) return { limit: query.limit, after: undefined, scope };
  const cursor = Buffer.from(query.after, 'base64url').toString('latin1');
  const mark = markOf(of);
  const after = cursor.endsWith(mark) ? cursor.slice(0, cursor.length - mark.length) : '';
  if (isId(prefix, after)) return { limit: query.limit, after, scope };
  throw new MailgressError('bad_request', 'The cursor is not one of this list', {
    faults: [{ path: 'after', message: 'must be the `next` of a page of this list' }],
  });
}

/** @param of as for `parsePage`. */
export function printPage<T>(page: Page<T>, of?: string): { data: T[]; next: string | null } {
  return {
    data: page.data,
    next:
      page.next === undefined ? null : Buffer.from(page.next + markOf(of), 'latin1').toString('base64url'),
  };
}

/** Behind the id; of a list that is the only one of its kind, nothing. */
function markOf(of: string | undefined): string {
  return of === undefined ? '' : `.${hash('sha256', of, 'hex').slice(0, 16)}`;
}
