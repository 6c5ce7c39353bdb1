import { type Services, tooMany } from './services.ts';
import type { World } from './world.ts';

/**
 * A fault of Gmail: what it answers in place of what is true, or undefined.
 *
 * `path` is that of the Gmail API with its query, such as `history?startHistoryId=1`.
 */
export type Fault = (path: string) => GmailError | { json: object } | undefined;
export type GmailError = { code: number; message: string; reason?: string };

export const EXPIRED: GmailError = {
  code: 404,
  message: 'Requested entity was not found.',
  reason: 'notFound',
};

/** The advanced Gmail service over the emulated API, with its exceptions, and with what the emulator lacks. */
export function createGmail(services: Services) {
  const { call, runtime, world, countToday } = services;

  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  function get(name: string, path: string): any {
    return call(`Gmail.${name}`, () => {
      if (countToday('gmail') > runtime.settings.quota.gmailReads) throw tooMany('gmail');
      const apiName = `gmail.users.${name.replace(/^\w/, (letter) => letter.toLowerCase())}`;
      for (const fault of runtime.faults) {
        const error = fault(path);
        if (error !== undefined && 'json' in error) return error.json;
        if (error !== undefined) throw toException(apiName, error);
      }
      const { status, json } = callGmail(world, runtime.settings.account, 'GET', path);
      if (status >= 400) throw toException(apiName, json.error);
      return json;
    });
  }

  return {
    Users: {
      // The emulator has none.
      getProfile: (userId: string) => {
        const { historyId } = get('getProfile', `history?startHistoryId=1&maxResults=1`);
        return { emailAddress: userId, historyId };
      },
      History: {
        list: (_: string, options: object) => {
          const page = get('History.list', `history?${queryOf(options)}`);
          return runtime.joinHistory ? joined(page) : page;
        },
      },
      Messages: {
        list: (_: string, options: object) => get('Messages.list', `messages?${queryOf(options)}`),
        get: (_: string, id: string, options: { format: string }) => {
          const message = get('Messages.get', `messages/${id}?${queryOf(options)}`);
          if (options.format !== 'raw' || runtime.settings.rawShape === 'text') return message;
          return { ...message, raw: [...new Int8Array(Buffer.from(message.raw, 'base64url'))] };
        },
      },
    },
  };
}

/** The page with one record, that of the last, for all mails. */
// biome-ignore lint/suspicious/noExplicitAny: as the API has it
function joined(page: any) {
  const last = page.history.at(-1);
  // biome-ignore lint/suspicious/noExplicitAny: as the API has it
  const messagesAdded = page.history.flatMap((record: any) => record.messagesAdded ?? []);
  return { ...page, history: last === undefined ? [] : [{ ...last, messagesAdded }] };
}

/** A request of the Gmail API, as this account. */
export function callGmail(world: World, account: string, method: string, path: string, body?: object) {
  const { status, body: bytes } = world.http({
    url: `gmail:/gmail/v1/users/me/${path}`,
    method,
    headers: { authorization: `Bearer token-of-${account}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const text = Buffer.from(bytes).toString();
  return { status, json: text === '' ? undefined : JSON.parse(text) };
}

/** As the advanced services throw: with the API's own error as `details`. */
function toException(apiName: string, error: GmailError): Error {
  const { code, message, reason } = error;
  const text = `API call to ${apiName} failed with error: ${message}`;
  return Object.assign(new Error(text), {
    name: 'GoogleJsonResponseException',
    details: { code, message, errors: [{ message, reason, domain: 'global' }] },
  });
}

function queryOf(options: object): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options)) {
    for (const one of [value].flat()) if (one !== undefined) query.append(name, String(one));
  }
  return query.toString();
}
