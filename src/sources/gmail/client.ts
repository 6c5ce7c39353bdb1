import type { gmail_v1 } from '@googleapis/gmail';
import { z } from 'zod';
import { GmailError, gmailErrorOf } from './gmail-error.ts';
import { type Bucket, UNITS } from './quota.ts';

/** Digits; unsigned and 64 bits at Google, kept as text everywhere. */
const historyId = z.string().regex(/^\d{1,40}$/);

const historySchema = z.object({
  history: z
    .array(
      z.object({
        id: historyId,
        messagesAdded: z.array(z.object({ message: z.object({ id: z.string().min(1) }) })).default([]),
      }),
    )
    .default([]),
  nextPageToken: z.string().optional(),
  historyId: historyId.optional(),
});

const listSchema = z.object({
  messages: z.array(z.object({ id: z.string().min(1) })).default([]),
  nextPageToken: z.string().optional(),
});

const messageSchema = z.object({
  id: z.string().min(1),
  threadId: z
    .string()
    .nullish()
    .transform((id) => id ?? null),
  labelIds: z.array(z.string()).default([]),
  snippet: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
  internalDate: z
    .string()
    .regex(/^\d{1,15}$/)
    .nullish()
    .transform((ms) => (ms == null ? null : new Date(Number(ms)))),
  /** RFC 5322 bytes, base64url. */
  raw: z.string(),
});

const profileSchema = z.object({ emailAddress: z.string().min(3), historyId });
const watchSchema = z.object({ expiration: z.coerce.number().positive() });

export type GmailMessage = z.infer<typeof messageSchema>;

/** A page of what came in since a history id, oldest first. */
export type HistoryPage = {
  /** Of the messages that were added, in order, each once. */
  messageIds: string[];
  /** Of the last record; undefined if there is none. */
  lastRecordId: string | undefined;
  nextPageToken: string | undefined;
  /** The newest id of the mailbox as this answer has it. Records up to it may still be missing: history can lag. */
  newestId: string | undefined;
};

export type IdPage = { messageIds: string[]; nextPageToken: string | undefined };

/** One account's Gmail. Every call throws GmailError, and the reason of `signal` once that is aborted. */
export type Gmail = {
  /** The address as Google writes it, and the newest history id. */
  profile(signal: AbortSignal): Promise<{ address: string; historyId: string }>;
  /** @throws GmailError `not_found` when history no longer reaches back so far. */
  history(startHistoryId: string, pageToken: string | undefined, signal: AbortSignal): Promise<HistoryPage>;
  /** Ids of what was received in a time, newest first, spam and trash too. */
  list(
    stretch: { since: Date; until: Date | null; pageToken: string | undefined },
    signal: AbortSignal,
  ): Promise<IdPage>;
  /** Waits until the quota has room for one `get`, which does not wait for it itself. */
  awaitGet(signal: AbortSignal): Promise<void>;
  /** @throws GmailError `not_found` for a message that is gone. */
  get(messageId: string, signal: AbortSignal): Promise<GmailMessage>;
  /** Lets Gmail notify `topic`; answers until when. */
  watch(topic: string, signal: AbortSignal): Promise<Date>;
  /** Ends the watch of the account. */
  stop(signal: AbortSignal): Promise<void>;
};

export type GmailAccess = {
  /** `https://gmail.googleapis.com/` or what stands in for it. */
  apiUrl: string;
  token(signal: AbortSignal): Promise<string>;
  forgetToken(token: string): void;
  /** Asked before each call, one after the other. */
  buckets: readonly Bucket[];
};

/** Large mail over a slow line takes its time; what hangs is given up. */
const REQUEST_TIMEOUT_MS = 60_000;
const PAGE_SIZE = 500;
const ME = { userId: 'me' } as const;

type Options = { headers: Record<string, string>; signal: AbortSignal; retry: false; responseType: 'text' };
type Call = (api: gmail_v1.Gmail, options: Options) => Promise<{ data: unknown }>;

/** Loads Google's client, 25 MB, when it is first needed. */
const loadApi = async (rootUrl: string): Promise<gmail_v1.Gmail> => {
  const { gmail } = await import('@googleapis/gmail');
  return gmail({ version: 'v1', rootUrl: rootUrl.endsWith('/') ? rootUrl : `${rootUrl}/` });
};

export function createGmail(access: GmailAccess): Gmail {
  let api: Promise<gmail_v1.Gmail> | undefined;

  async function takeQuota(units: number, signal: AbortSignal): Promise<void> {
    for (const bucket of access.buckets) await bucket.take(units, signal);
  }

  async function call<T>(units: number, schema: z.ZodType<T>, signal: AbortSignal, send: Call): Promise<T> {
    await takeQuota(units, signal);
    return callNow(schema, signal, send);
  }

  async function callNow<T>(schema: z.ZodType<T>, signal: AbortSignal, send: Call): Promise<T> {
    api ??= loadApi(access.apiUrl);
    const token = await access.token(signal);
    try {
      return await request(await api, token, schema, signal, send);
    } catch (error) {
      if (!(error instanceof GmailError) || error.fault !== 'needs_reauth') throw error;
      // The token may have been taken back before its time; the consent behind it speaks for itself.
      access.forgetToken(token);
      return request(await api, await access.token(signal), schema, signal, send);
    }
  }

  return {
    async profile(signal) {
      const { emailAddress, historyId } = await call(UNITS.profile, profileSchema, signal, (api, options) =>
        api.users.getProfile(ME, options),
      );
      return { address: emailAddress, historyId };
    },

    async history(startHistoryId, pageToken, signal) {
      const page = await call(UNITS.history, historySchema, signal, (api, options) =>
        api.users.history.list(
          {
            ...ME,
            startHistoryId,
            maxResults: PAGE_SIZE,
            // All kinds of records, since the last one's id says how far this has read; of each only what is used.
            fields: 'history(id,messagesAdded/message/id),nextPageToken,historyId',
            ...(pageToken !== undefined && { pageToken }),
          },
          options,
        ),
      );
      const added = page.history.flatMap(({ messagesAdded }) =>
        messagesAdded.map(({ message }) => message.id),
      );
      return {
        messageIds: [...new Set(added)],
        lastRecordId: page.history.at(-1)?.id,
        nextPageToken: page.nextPageToken,
        newestId: page.historyId,
      };
    },

    async list({ since, until, pageToken }, signal) {
      const seconds = (date: Date) => Math.floor(date.getTime() / 1000);
      const q = `after:${seconds(since)}${until === null ? '' : ` before:${seconds(until)}`}`;
      const page = await call(UNITS.list, listSchema, signal, (api, options) =>
        api.users.messages.list(
          {
            ...ME,
            q,
            includeSpamTrash: true,
            maxResults: PAGE_SIZE,
            fields: 'messages/id,nextPageToken',
            ...(pageToken !== undefined && { pageToken }),
          },
          options,
        ),
      );
      return { messageIds: page.messages.map(({ id }) => id), nextPageToken: page.nextPageToken };
    },

    awaitGet: (signal) => takeQuota(UNITS.get, signal),

    get: (id, signal) =>
      callNow(messageSchema, signal, (api, options) =>
        api.users.messages.get(
          { ...ME, id, format: 'raw', fields: 'id,threadId,labelIds,snippet,internalDate,raw' },
          options,
        ),
      ),

    async watch(topicName, signal) {
      const { expiration } = await call(UNITS.watch, watchSchema, signal, (api, options) =>
        api.users.watch({ ...ME, requestBody: { topicName } }, options),
      );
      return new Date(expiration);
    },

    async stop(signal) {
      await call(UNITS.stop, z.unknown(), signal, (api, options) => api.users.stop(ME, options));
    },
  };
}

async function request<T>(
  api: gmail_v1.Gmail,
  token: string,
  schema: z.ZodType<T>,
  signal: AbortSignal,
  send: Call,
): Promise<T> {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const options: Options = {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.any([signal, timeout]),
    // One slow-down a source, not one a call: trying again is for who knows of all of them.
    retry: false,
    // Read by us: the library takes JSON that is none for a text, and says nothing.
    responseType: 'text',
  };
  let text: unknown;
  try {
    text = (await send(api, options)).data;
  } catch (error) {
    signal.throwIfAborted();
    throw toGmailError(error, timeout.aborted);
  }
  const parsed = schema.safeParse(text === '' ? {} : jsonOf(text));
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map(({ path }) => path.join('.')).slice(0, 3);
  throw new GmailError(
    'unavailable',
    `Gmail's answer is not as documented (${where.join(', ') || 'no JSON'})`,
  );
}

const responseSchema = z.object({
  status: z.number(),
  data: z.unknown(),
  // There is more than one class of this name in a process. As it is: its methods need their object.
  headers: z.custom<Pick<Headers, 'get'>>(hasGet).optional(),
});

function hasGet(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'get' in value && typeof value.get === 'function';
}

function jsonOf(text: unknown): unknown {
  if (typeof text !== 'string') return text;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The library's own errors hold the request, with its token, and the answer, with mail: nothing of them goes on. */
function toGmailError(error: unknown, isLate: boolean): GmailError {
  const response = responseSchema.safeParse(
    error instanceof Error && 'response' in error ? error.response : undefined,
  );
  if (response.success) {
    const { status, data, headers } = response.data;
    return gmailErrorOf({
      status,
      body: jsonOf(data),
      retryAfter: headers?.get('retry-after') ?? undefined,
      now: new Date(),
    });
  }
  if (isLate) return new GmailError('unavailable', `Gmail does not answer within ${REQUEST_TIMEOUT_MS} ms`);
  const code =
    error instanceof Error && 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : '';
  return new GmailError('unavailable', `Gmail is out of reach${code}`);
}
