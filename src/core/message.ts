import { z } from 'zod';
import { categorySchema } from './category/schema.ts';

/** Longest text and longest html in an event, bytes of UTF-8 each. `GET /v1/messages/{id}` has them whole. */
export const EVENT_TEXT_LIMIT_BYTES = 256 * 1024;

export const addressSchema = z
  .object({
    name: z.string().describe('Display name, decoded; empty if there is none'),
    address: z.string(),
  })
  .meta({ id: 'Address' });

export const placementSchema = z.enum([
  'inbox',
  'spam',
  'promotions',
  'social',
  'updates',
  'forums',
  'sent',
  'drafts',
  'trash',
  'archive',
  'other',
]);

export const attachmentSchema = z
  .object({
    index: z.int().nonnegative().describe('Position in the mail; the {n} of /attachments/{n}'),
    filename: z.string().nullable(),
    contentType: z.string(),
    sizeBytes: z.int().nonnegative(),
    contentId: z.string().nullable().describe('Without angle brackets'),
    disposition: z.enum(['attachment', 'inline']),
    sha256: z.string().describe('Hex, of the decoded content'),
  })
  .meta({ id: 'Attachment' });

/** Results are `pass`, `fail`, `none`, `softfail`, `neutral`, `policy`, `temperror` or `permerror` (RFC 8601, 2.7). */
export const authenticationSchema = z
  .object({
    spf: z.string().nullable(),
    dkim: z
      .array(z.object({ domain: z.string().describe('Empty if not told'), result: z.string() }))
      .describe('One for each signature that was checked'),
    dmarc: z.string().nullable(),
    arc: z.string().nullable(),
    server: z.string().nullable().describe('The server that says so'),
    trusted: z
      .boolean()
      .describe('False where it cannot be told that this server wrote it: the sender may have'),
  })
  .meta({ id: 'Authentication' });

/**
 * Names: `spamassassin`, `rspamd`, `microsoft` (Exchange Online Protection), `proofpoint`, `mimecast`, `barracuda`,
 * `ironport` (Cisco), `symantec` (Email Security.cloud, MessageLabs), `amavis`. More may come; these stay.
 */
export const spamFilterSchema = z
  .object({
    name: z.string().describe('Which filter; lower-case and stable'),
    verdict: z.enum(['ham', 'spam', 'unknown']).describe('unknown: it was there, and does not say'),
    score: z.number().nullable().describe("In the filter's own measure"),
  })
  .meta({ id: 'SpamFilter' });

export const sourceKindSchema = z.enum(['apps-script', 'gmail', 'imap', 'raw']);

/** What normalization reads out of the mail itself. */
export const mailContentSchema = z.object({
  providerId: z.string().nullable(),
  threadId: z.string().nullable(),
  messageId: z.string().nullable().describe('Message-ID, with angle brackets'),
  inReplyTo: z.string().nullable(),
  references: z.array(z.string()),
  from: addressSchema.nullable(),
  sender: addressSchema.nullable(),
  replyTo: z.array(addressSchema),
  to: z.array(addressSchema),
  cc: z.array(addressSchema),
  bcc: z.array(addressSchema),
  subject: z.string().nullable(),
  date: z.iso.datetime().nullable().describe('The Date header; null if absent or unreadable'),
  receivedAt: z.iso.datetime().describe("The provider's internal date, else when Mailgress took it"),
  placement: placementSchema,
  labels: z.array(z.string()),
  folder: z.string().nullable(),
  authentication: authenticationSchema,
  spamFilters: z.array(spamFilterSchema),
  category: categorySchema,
  subjectGroup: z.string().describe('The subject without reply and forward marks, as a key'),
  truncated: z.boolean().describe('Only headers were to be had; completed in place when the whole arrives'),
  text: z.string().nullable(),
  html: z.string().nullable().describe('As it came: sanitize before showing it'),
  textTruncated: z.boolean().describe('text or html is cut here; GET /v1/messages/{id} has them whole'),
  snippet: z.string(),
  attachments: z.array(attachmentSchema),
  headers: z.array(z.tuple([z.string(), z.string()])).describe('All, in their order, unfolded'),
  sizeBytes: z.int().nonnegative(),
  sha256: z.string().describe('Hex, of the raw bytes'),
  parse: z.enum(['ok', 'partial', 'failed']),
});

/** The published message: `data` of `message.received`, and (with text and html whole) `GET /v1/messages/{id}`. */
export const messageSchema = z
  .object({
    id: z.string(),
    tenant: z.string(),
    mailboxId: z.string(),
    address: z.string(),
    source: z.object({ id: z.string(), kind: sourceKindSchema }),
    ...mailContentSchema.shape,
  })
  .meta({ id: 'Message' });

/** A message in a list: without what makes it long. */
export const messageSummarySchema = messageSchema.omit({ text: true, html: true, headers: true });

export type Address = z.infer<typeof addressSchema>;
export type Placement = z.infer<typeof placementSchema>;
export type Attachment = z.infer<typeof attachmentSchema>;
export type MailContent = z.infer<typeof mailContentSchema>;
export type Message = z.infer<typeof messageSchema>;
export type MessageSummary = z.infer<typeof messageSummarySchema>;
export type SourceKind = z.infer<typeof sourceKindSchema>;
