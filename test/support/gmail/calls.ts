/** What a request asks of Google, by the name its documentation gives it. */
export type CallName =
  | 'getProfile'
  | 'history.list'
  | 'messages.list'
  | 'messages.get'
  | 'watch'
  | 'stop'
  | 'token'
  | 'other';

/** Units of quota that a call costs (a third party's table; Google's own page lists no numbers for all of them). */
export const UNITS: Readonly<Record<CallName, number>> = {
  getProfile: 1,
  'history.list': 2,
  'messages.list': 5,
  'messages.get': 20,
  watch: 100,
  stop: 50,
  token: 0,
  other: 0,
};

/** One request, as rules and hooks see it. */
export type Call = {
  readonly name: CallName;
  /** Whose mailbox; undefined where the token tells no one. */
  readonly account: string | undefined;
  /** Of messages.get. */
  readonly messageId: string | undefined;
  readonly params: URLSearchParams;
  /** The how-manieth of this name for this account, from 1; of messages.get, for this message. */
  readonly nth: number;
};

export type NamedRequest = {
  name: CallName;
  /** `me` or an address, as the path has it. */
  userId: string | undefined;
  messageId: string | undefined;
};

/** Names a request by its method and path. */
export function nameRequest(method: string, path: string): NamedRequest {
  if (method === 'POST' && /^\/(o\/)?(oauth2\/)?(v\d\/)?token$/.test(path))
    return { name: 'token', userId: undefined, messageId: undefined };
  const [, user, rest] = /^\/gmail\/v1\/users\/([^/]+)\/(.+)$/.exec(path) ?? [];
  if (user === undefined || rest === undefined)
    return { name: 'other', userId: undefined, messageId: undefined };
  const message = /^messages\/([^/]+)$/.exec(rest)?.[1];
  const key = `${method} ${message === undefined ? rest : 'messages/*'}`;
  return {
    name: NAMES[key] ?? 'other',
    userId: decodeURIComponent(user),
    messageId: message === undefined ? undefined : decodeURIComponent(message),
  };
}

const NAMES: Record<string, CallName> = {
  'GET profile': 'getProfile',
  'GET history': 'history.list',
  'GET messages': 'messages.list',
  'GET messages/*': 'messages.get',
  'POST watch': 'watch',
  'POST stop': 'stop',
};
