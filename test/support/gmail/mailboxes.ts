import { type Answer, BAD_PAGE_TOKEN, googleError, NOT_FOUND } from './faults.ts';
import { emulateQuery } from './search.ts';
import type { Reply, Upstream } from './upstream.ts';

/*
 * The calls whose answers emulate gives otherwise than Google does:
 *
 *  - getProfile is not there;
 *  - a mailbox without mail has the history id "0";
 *  - history never expires, its page tokens are offsets that fit any start id, its references say more than ids, thread
 *    and labels, and an empty list is `[]` rather than absent;
 *  - a watch lasts a day rather than seven;
 *  - pages of messages.list shift when mail comes or goes between them, and q knows neither `in:anywhere` nor `-in:`.
 */

const WATCH_MS = 7 * 24 * 60 * 60 * 1000;
const DIGITS_OF_MS = 13;

export type Mailboxes = {
  getProfile(account: string): Promise<Answer>;
  listHistory(account: string, params: URLSearchParams): Promise<Answer>;
  listMessages(account: string, params: URLSearchParams): Promise<Answer>;
  watch(account: string, body: Buffer): Promise<Answer>;
  stop(account: string): Answer;
  /** The id of the newest change. */
  historyId(account: string): Promise<string>;
  /** When its watch ends (ms since 1970), if it has one. */
  watchedUntilMs(account: string): number | undefined;
  /** From now on every start id up to now is too old. */
  expireHistory(account: string): Promise<void>;
  /** history.list shows a change only so long after it came; what it says is the newest id: that of the last shown. */
  lagHistory(account: string, lagMs: number): void;
  /** Page tokens given so far are refused. */
  expirePageTokens(account: string): void;
};

type HistoryRecord = { id: string; messages?: Reference[] } & Record<string, unknown>;
type Reference = { id: string; threadId: string; labelIds?: string[] };

/** What a page token stands for. */
type Position = { account: string; call: string; query: string; offset: number; ids?: readonly Reference[] };

/** @param largestPage Gmail may answer fewer than were asked for. */
export function createMailboxes(upstream: Upstream, largestPage = 500): Mailboxes {
  /** Before any id that emulate makes from now on: these begin with the time. */
  const firstId = `${Date.now() - 1000}00000000`;
  const states = new Map<
    string,
    { expiredTo: bigint; lowest: bigint; lagMs: number; watchedUntilMs?: number }
  >();
  const positions = new Map<string, Position>();
  let given = 0;

  function stateOf(account: string) {
    const state = states.get(account) ?? { expiredTo: -1n, lowest: BigInt(firstId), lagMs: 0 };
    states.set(account, state);
    return state;
  }

  const newerOf = (id: string, account: string) => {
    const { lowest } = stateOf(account);
    return BigInt(id) > lowest ? id : String(lowest);
  };

  function limitOf(params: URLSearchParams): number {
    const asked = Number(params.get('maxResults') ?? 0);
    return Math.min(asked > 0 ? asked : 100, largestPage);
  }

  async function historyId(account: string): Promise<string> {
    // Past the end, so that it need not make a page; its answer then has no newest id but for this.
    const { json } = await upstream.gmail(account, 'GET', `history?startHistoryId=${'9'.repeat(30)}`);
    return newerOf(json.historyId, account);
  }

  function keepPosition(position: Position): string {
    // Digits, as Google's.
    const token = `${firstId}${String(++given).padStart(7, '0')}`;
    positions.set(token, position);
    return token;
  }

  /** Where a page begins; undefined: the token is none of this listing. */
  function findPosition(account: string, call: string, params: URLSearchParams): Position | undefined {
    const query = new URLSearchParams(params);
    for (const name of ['pageToken', 'maxResults', 'fields', 'alt', 'prettyPrint']) query.delete(name);
    query.sort();
    const token = params.get('pageToken');
    const start = { account, call, query: query.toString(), offset: 0 };
    if (token === null || token === '') return start;
    const kept = positions.get(token);
    return kept?.account === account && kept.call === call && kept.query === start.query ? kept : undefined;
  }

  return {
    historyId,
    watchedUntilMs: (account) => stateOf(account).watchedUntilMs,
    async getProfile(account) {
      const { json } = await upstream.gmail(account, 'GET', 'messages?maxResults=1&includeSpamTrash=true');
      const messagesTotal = json.resultSizeEstimate;
      return ok({
        emailAddress: account,
        messagesTotal,
        threadsTotal: messagesTotal,
        historyId: await historyId(account),
      });
    },
    async listHistory(account, params) {
      const { expiredTo, lagMs } = stateOf(account);
      const start = params.get('startHistoryId') ?? '';
      if (!/^\d+$/.test(start)) return invalid('Invalid value at start_history_id');
      if (BigInt(start) <= expiredTo) return NOT_FOUND;
      const position = findPosition(account, 'history', params);
      if (position === undefined) return BAD_PAGE_TOKEN;
      const limit = limitOf(params);
      const query = new URLSearchParams(params);
      query.set('maxResults', String(limit));
      query.set('pageToken', String(position.offset));
      const { status, json } = await upstream.gmail(account, 'GET', `history?${query}`);
      if (status !== 200) return { status, body: json };

      const records: HistoryRecord[] = json.history;
      const shown = records.filter(({ id }) => Number(id.slice(0, DIGITS_OF_MS)) <= Date.now() - lagMs);
      const isBehind = shown.length < records.length;
      const next =
        json.nextPageToken === undefined || isBehind
          ? undefined
          : keepPosition({ ...position, offset: position.offset + limit });
      return ok({
        ...(shown.length > 0 && { history: shown.map(bare) }),
        historyId: isBehind ? (shown.at(-1)?.id ?? start) : newerOf(json.historyId, account),
        ...(next && { nextPageToken: next }),
      });
    },
    async listMessages(account, params) {
      const position = findPosition(account, 'messages', params);
      if (position === undefined) return BAD_PAGE_TOKEN;
      const query = emulateQuery(params);
      if (query === undefined)
        return { status: 501, body: `this Gmail cannot search for ${params.get('q')}` };
      // All of it at the first page, so that no page shifts.
      const all = position.ids ?? (await listAll(upstream, account, query));
      const limit = limitOf(params);
      const page = all.slice(position.offset, position.offset + limit);
      const offset = position.offset + limit;
      const next = offset < all.length ? keepPosition({ ...position, offset, ids: all }) : undefined;
      return ok({
        ...(page.length > 0 && { messages: page }),
        ...(next && { nextPageToken: next }),
        // An estimate that stops at about two hundred.
        resultSizeEstimate: Math.min(all.length, 201),
      });
    },
    async watch(account, body) {
      const { status, json } = await upstream.gmail(account, 'POST', 'watch', parse(body));
      if (status !== 200) return { status, body: json };
      const untilMs = Date.now() + WATCH_MS;
      stateOf(account).watchedUntilMs = untilMs;
      return ok({ historyId: await historyId(account), expiration: String(untilMs) });
    },
    stop(account) {
      delete stateOf(account).watchedUntilMs;
      return { status: 204, body: '' };
    },
    async expireHistory(account) {
      const state = stateOf(account);
      state.expiredTo = BigInt(await historyId(account));
      // Else the profile would name a start id that is too old.
      state.lowest = state.expiredTo + 1n;
    },
    lagHistory(account, lagMs) {
      stateOf(account).lagMs = lagMs;
    },
    expirePageTokens(account) {
      for (const [token, position] of positions) if (position.account === account) positions.delete(token);
    },
  };
}

/** Every id of a listing, newest first. */
export async function listAll(
  upstream: Upstream,
  account: string,
  query: URLSearchParams,
): Promise<Reference[]> {
  const all: Reference[] = [];
  query.set('maxResults', '500');
  for (let next: string | undefined = '0'; next !== undefined; ) {
    query.set('pageToken', next);
    const { json }: Reply = await upstream.gmail(account, 'GET', `messages?${query}`);
    all.push(...json.messages);
    next = json.nextPageToken;
  }
  return all;
}

/** A record with what Google says of a mail in history, and no more. */
function bare({ id, messages = [], ...changes }: HistoryRecord): object {
  const change = ({ message, ...rest }: { message: Reference }) => ({
    message: { id: message.id, threadId: message.threadId, labelIds: message.labelIds },
    ...rest,
  });
  return {
    id,
    messages: messages.map((message) => ({ id: message.id, threadId: message.threadId })),
    ...Object.fromEntries(
      Object.entries(changes).map(([name, list]) => [name, (list as { message: Reference }[]).map(change)]),
    ),
  };
}

function parse(body: Buffer): object {
  try {
    return JSON.parse(body.toString());
  } catch {
    return {};
  }
}

const ok = (body: object): Answer => ({ status: 200, body });
const invalid = (message: string) =>
  googleError({ code: 400, status: 'INVALID_ARGUMENT', message, reason: 'invalidArgument' });
