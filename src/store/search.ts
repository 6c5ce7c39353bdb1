import type { PendingQuery, Row, Sql } from 'postgres';
import { MailgressError } from '../core/errors.ts';
import { idOf, uuidOf } from '../core/ids.ts';
import type { MessageSummary } from '../core/message.ts';
import { asSearched } from '../core/search-text.ts';
import type { Database } from './database.ts';
import { inPublishedOrder, isListed, type MessageFilters, summaryOf } from './messages.ts';
import { type Page, type PageRequest, toPage } from './page.ts';
import type { SearchTurn } from './search-turns.ts';
import { scopeQuery } from './search-words.ts';

/** So long each of its statements may take; what takes longer finds too much, or has to read too much. */
const PATIENCE_MS = 5000;
/** Of the newest messages that a search looks through one by one, before it asks the index. */
const RECENT = 1000;
/** A beginning of fewer letters is that of too many words. */
const SHORTEST_BEGINNING = 3;

type SearchRequest = PageRequest & MessageFilters;

/**
 * Messages with these words, newest first: of their subject, names, addresses and the beginning of their text. `q` is as
 * `websearch_to_tsquery` reads it: all words must be there, `"..."` in this order, `-` not, `or` one of two. The last word
 * may be the beginning of one.
 *
 * Common words are found among the newest messages, without the index, whose answer would be most of the table. What is left
 * is so rare there that the index gives few.
 *
 * @throws MailgressError `bad_request` for a `q` without a word to look for, `search_too_wide` for one that takes longer
 * than 5 s, `overloaded` if too many are under way.
 */
export function searchMessages(
  { inSearch }: Database,
  request: SearchRequest & { q: string },
  patienceMs = PATIENCE_MS,
): Promise<Page<MessageSummary>> {
  return inSearch(request.scope.tenant, async (turn) => {
    const words = await readWords(turn, patienceMs, request.q);
    const query = `(${words})${scopeQuery({ ...request, tenant: request.scope.tenant })}`;
    const recent = await turn.read(patienceMs, (sql, mark) => findRecent(sql, mark, query, request));
    const rows =
      recent.length > request.limit
        ? recent
        : await turn.read(patienceMs, (sql, mark) => findAll(sql, mark, query, request));
    const { data, next } = toPage(
      rows.map(({ id, summary }) => ({ id: idOf('msg', id), summary })),
      request,
    );
    return {
      data: data.flatMap(({ summary }) => (summary === null ? [] : [inPublishedOrder(summary)])),
      next,
    };
  });
}

/** The search as a tsquery's text. One that all messages would answer that lack some words is none. */
async function readWords(turn: SearchTurn, patienceMs: number, q: string): Promise<string> {
  const last = /\S+$/.exec(q.trimEnd())?.[0] ?? '';
  const isBeginning = !/^-|"$/.test(last) && [...last].length >= SHORTEST_BEGINNING;
  const [row] = await turn.read(
    patienceMs,
    (sql, mark) => sql<[{ words: string; wanted: string }]>`${mark}
      SELECT CASE WHEN ${isBeginning} AND words::text LIKE '%''' THEN words::text || ':*' ELSE words::text END AS words,
             querytree(words) AS wanted
      FROM websearch_to_tsquery('simple', ${asSearched(q)}) words`,
  );
  if (row.wanted !== '' && row.wanted !== 'T') return row.words;
  throw new MailgressError('bad_request', 'There is no word in it to search for', {
    faults: [{ path: 'q', message: 'must ask for a word; `-` alone only leaves words out' }],
  });
}

type Found = { id: string; summary: MessageSummary | null };
type Fragment = PendingQuery<Row[]>;

function findRecent(sql: Sql, mark: Fragment, query: string, request: SearchRequest): PendingQuery<Found[]> {
  const found = sql`found AS MATERIALIZED (
    SELECT message_id FROM (
      SELECT message_id, words FROM message_search WHERE ${isBehind(sql, request)}
      ORDER BY message_id DESC LIMIT ${RECENT}
    ) recent
    WHERE words @@ ${query}::tsquery
    ORDER BY message_id DESC LIMIT ${request.limit + 1}
  )`;
  return readFound(sql, mark, found, request);
}

/** `hits` by itself, so that it is the index that is asked: in the order of ids the whole table would be read for a rare word. */
function findAll(sql: Sql, mark: Fragment, query: string, request: SearchRequest): PendingQuery<Found[]> {
  const found = sql`hits AS MATERIALIZED (
    SELECT message_id FROM message_search WHERE words @@ ${query}::tsquery AND ${isBehind(sql, request)}
  ), found AS MATERIALIZED (
    SELECT message_id FROM hits ORDER BY message_id DESC LIMIT ${request.limit + 1}
  )`;
  return readFound(sql, mark, found, request);
}

function isBehind(sql: Sql, { after }: PageRequest): Fragment {
  return after === undefined ? sql`true` : sql`message_id < ${uuidOf(after)}`;
}

/** With the filters once more: what the words say of a message that was just completed can be out of date. */
function readFound(sql: Sql, mark: Fragment, found: Fragment, request: SearchRequest): PendingQuery<Found[]> {
  return sql<Found[]>`${mark}
    WITH ${found}
    SELECT found.message_id::text AS id, ${summaryOf(sql)} AS summary
    FROM found LEFT JOIN messages ON messages.id = found.message_id AND ${isListed(sql, request)}
    ORDER BY found.message_id DESC`;
}
