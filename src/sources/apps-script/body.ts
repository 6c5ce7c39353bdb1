import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Fault, MailgressError } from '../../core/errors.ts';
import { canonicalGmailId } from '../../core/gmail-id.ts';
import type { RawMail } from '../../core/raw-mail.ts';
import { composePlainMail, plainMailSchema } from './plain-mail.ts';

/** A mail of a batch: read, or not readable and why. `id` is what the sender calls it; null if it does not. */
export type BatchItem =
  | { id: string | null; mail: RawMail }
  | { id: string | null; rejected: string; stubId: string };

/** A body, whichever of its forms it came in. */
export type AppsScriptBody = {
  items: BatchItem[];
  /** What is told beside the mails; all null and empty in a ping and in the plain form. */
  report: {
    cursor: { from: string; to: string } | null;
    missing: string[];
    failed: { id: string; error: string; attempts: number }[];
    gap: { from: string | null; reason: string; recoveredBy: string | null } | null;
  };
  /** What the script says of itself; undefined of programs that say nothing, as in the plain form. */
  heartbeat: Record<string, unknown> | undefined;
};

/**
 * Most entries of a list: mails of 500 bytes in a body of the default limit. Judged before the entries are: 50 MB of
 * `0,` are 25 million faults, which take more memory than there is.
 */
const MAX_ENTRIES = 100_000;

/** Gmail's ids are hex, those of emulators and forwarders are not: anything short and harmless is taken. */
const idSchema = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, { error: 'must be 1 to 128 of A-Z a-z 0-9 _ -' });
/** A stub is found again under the one form of its id. */
const stubIdSchema = idSchema.transform(canonicalGmailId);
/** An unsigned 64-bit number, and room for more: kept as digits. */
const historyIdSchema = z.string().regex(/^\d{1,40}$/, { error: 'must be digits' });
const shortText = z
  .string()
  .transform((text) => text.toWellFormed().replaceAll('\0', '\uFFFD').slice(0, 1000));
const scriptSchema = z.object({ version: shortText, account: shortText });

/** What surrounds the mails. The mails themselves are judged one by one: a rotten one may not hold up the rest. */
const messagesBodySchema = z.object({
  kind: z.literal('messages'),
  script: scriptSchema.optional(),
  cursor: z.object({ from: historyIdSchema, to: historyIdSchema }).nullish(),
  messages: listOf(z.unknown(), MAX_ENTRIES),
  missing: listOf(stubIdSchema, MAX_ENTRIES).default([]),
  failed: listOf(
    z.object({ id: stubIdSchema, error: shortText, attempts: z.int().min(0).max(1_000_000).default(0) }),
    MAX_ENTRIES,
  ).default([]),
  gap: z
    .object({
      from: historyIdSchema.nullish().transform((from) => from ?? null),
      // Part of a unique key, whose rows PostgreSQL bounds to 2,704 bytes.
      reason: shortText.transform((text) => text.slice(0, 200)),
      recoveredBy: shortText.nullish().transform((by) => by?.slice(0, 200) ?? null),
    })
    .nullish(),
  backlog: z.int().min(0).optional(),
  paused: z.boolean().optional(),
});

const pingBodySchema = z.object({ kind: z.literal('ping'), script: scriptSchema.optional() });

const itemBase = {
  id: idSchema,
  threadId: idSchema.nullish(),
  labelIds: listOf(z.string().max(256), 1000).default([]),
  internalDate: z
    // Before 1970 as well: Gmail keeps the date of imported mail.
    .union([z.string().regex(/^-?\d{1,15}$/), z.int().min(-8.64e15).max(8.64e15)])
    .transform(Number)
    .nullish(),
  snippet: z.string().nullish(),
};
const wholeItemSchema = z.object({ ...itemBase, raw: z.string().min(1, { error: 'must not be empty' }) });
const truncatedItemSchema = z.object({ ...itemBase, truncated: z.literal(true), headers: z.string() });

/** The contract's schema, for the reference; the body is read by `parseAppsScriptBody`. */
export const appsScriptBodySchema = z.union([
  messagesBodySchema.extend({
    messages: listOf(z.union([wholeItemSchema, truncatedItemSchema]), MAX_ENTRIES),
  }),
  pingBodySchema,
  plainMailSchema,
]);

/**
 * Reads a body that the script, or a person's own, has posted.
 *
 * @throws MailgressError `invalid_json` if the bytes are no JSON in UTF-8, `bad_request` with `faults` if what
 * surrounds the mails has another shape. A mail of another shape is an item with `rejected` instead.
 */
export function parseAppsScriptBody(bytes: Uint8Array): AppsScriptBody {
  const body = parseJson(bytes);
  const kind = typeof body === 'object' && body !== null && 'kind' in body ? body.kind : undefined;
  const report = { cursor: null, missing: [], failed: [], gap: null };
  if (kind === 'ping') {
    return { items: [], report, heartbeat: parseWith(pingBodySchema, body).script };
  }
  if (kind === undefined) {
    const mail = composePlainMail(parseWith(plainMailSchema, body));
    return { items: [{ id: null, mail }], report, heartbeat: undefined };
  }
  if (kind !== 'messages') throw badShape([{ path: 'kind', message: 'must be "messages" or "ping"' }]);
  const { script, cursor, messages, missing, failed, gap, backlog, paused } = parseWith(
    messagesBodySchema,
    body,
  );
  // Hashed at most once: for each rotten mail of a large batch again, it would take minutes.
  let digest: string | undefined;
  const nameItem = (index: number) => {
    digest ??= hexDigest(bytes);
    return hashId(`${digest} ${index}`);
  };
  return {
    items: messages.map((item, index) => parseItem(item, () => nameItem(index))),
    report: { cursor: cursor ?? null, missing, failed, gap: gap ?? null },
    heartbeat: script && { ...script, backlog: backlog ?? 0, paused: paused ?? false },
  };
}

/** Under which id a mail that is not stored is kept as a stub: its own if it has one, else a hash of it. */
export function stubIdOf(item: BatchItem): string {
  if ('rejected' in item) return item.stubId;
  return item.mail.providerId ?? hashId(item.mail.bytes);
}

/** @param nameItem gives the item an id where its own is none. */
function parseItem(item: unknown, nameItem: () => string): BatchItem {
  const isTruncated =
    typeof item === 'object' && item !== null && 'truncated' in item && item.truncated === true;
  const parsed = (isTruncated ? truncatedItemSchema : wholeItemSchema).safeParse(item);
  if (!parsed.success) return rejectItem(item, nameItem, parsed.error.issues.map(printIssue).join('; '));
  const { id, threadId, labelIds, internalDate, snippet } = parsed.data;
  const bytes =
    'raw' in parsed.data ? decodeBase64(parsed.data.raw) : Buffer.from(parsed.data.headers, 'utf8');
  if (bytes === undefined) return rejectItem(item, nameItem, 'raw: must be base64url');
  const canonicalId = canonicalGmailId(id);
  return {
    id,
    mail: {
      bytes,
      truncated: isTruncated,
      identity: { base: 'gmail', id: canonicalId },
      providerId: canonicalId,
      threadId: threadId ?? null,
      labels: labelIds,
      folder: null,
      folderRole: null,
      internalDate: internalDate == null ? null : new Date(internalDate),
      snippet: snippet ?? null,
    },
  };
}

function rejectItem(item: unknown, nameItem: () => string, reason: string): BatchItem {
  const given = typeof item === 'object' && item !== null && 'id' in item ? item.id : undefined;
  const parsed = idSchema.safeParse(given);
  return {
    id: typeof given === 'string' ? given.toWellFormed().slice(0, 256) : null,
    rejected: reason.slice(0, 1000),
    stubId: parsed.success ? canonicalGmailId(parsed.data) : nameItem(),
  };
}

function hexDigest(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

const hashId = (data: Uint8Array | string) => `sha256-${hexDigest(data).slice(0, 32)}`;

/**
 * Base64url as Gmail's API writes it, and plain base64, with or without padding. Buffer.from skips what is neither, so
 * what comes out is too short then: cheaper to see than a pattern over all of it.
 */
function decodeBase64(text: string): Buffer | undefined {
  const digits = text.trimEnd().replace(/={1,2}$/, '').length;
  // Of other characters it takes the low byte for one.
  if (Buffer.byteLength(text) !== text.length) return undefined;
  // Four digits are three bytes; one more is half a byte, so something is missing.
  if (digits === 0 || digits % 4 === 1) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length === Math.floor((digits * 3) / 4) ? bytes : undefined;
}

function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new MailgressError('invalid_json', 'The body is not UTF-8', { cause });
  }
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own error quotes the body: it goes no further.
    throw new MailgressError('invalid_json', 'The body is not JSON');
  }
}

function parseWith<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw badShape(
    parsed.error.issues.slice(0, 20).map(({ path, message }) => ({ path: path.join('.'), message })),
  );
}

function badShape(faults: Fault[]): MailgressError {
  return new MailgressError('bad_request', 'The body has another shape than the contract asks for', {
    faults,
  });
}

function printIssue({ path, message }: { path: PropertyKey[]; message: string }): string {
  return path.length === 0 ? message : `${path.join('.')}: ${message}`;
}

/** An array that is refused by its length before its entries are looked at. */
function listOf<T extends z.ZodType>(entry: T, max: number) {
  return z.preprocess((value, context) => {
    if (!Array.isArray(value) || value.length <= max) return value;
    context.addIssue({ code: 'custom', message: `must have at most ${max} entries` });
    return z.NEVER;
  }, z.array(entry).max(max));
}
