import { z } from 'zod';
import { imapProviderSchema } from './imap-providers.ts';

/*
 * What a source of kind imap is made of, beside the mailbox it is for. Kept as the source's settings (JSON) and its
 * sealed credentials.
 */

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

/** A name as DNS or an address has it; IPv6 with or without brackets. */
const hostSchema = z
  .string()
  .regex(/^[A-Za-z0-9_.:[\]-]{1,253}$/, { error: 'must be a host name or an address' });

export const imapFolderWishSchema = z.union([
  z.strictObject({
    role: z.enum(['inbox', 'junk', 'promotions', 'all', 'sent', 'drafts', 'trash', 'archive']),
    idle: z.boolean().optional(),
  }),
  z.strictObject({
    path: z.string().min(1).max(1000),
    idle: z
      .boolean()
      .optional()
      .describe('A connection of its own that is told of new mail; else it is asked every 30 s'),
  }),
]);

/** What the owner may choose of how a source is read. */
export const imapTuningSchema = z.strictObject({
  // RFC 2177: a server may log out who says nothing for 30 minutes.
  idleRestartMs: z
    .int()
    .min(MINUTE_MS)
    .max(29 * MINUTE_MS)
    .optional(),
  pollIntervalMs: z
    .int()
    .min(5 * SECOND_MS)
    // RFC 9051, 5.4: a server may log out who says nothing for 30 minutes.
    .max(25 * MINUTE_MS)
    .optional()
    .describe('Where the server has no IDLE'),
  backoffMinMs: z
    .int()
    .min(10 * SECOND_MS)
    .max(60 * MINUTE_MS)
    .optional(),
  backoffMaxMs: z
    .int()
    .min(10 * SECOND_MS)
    .max(24 * 60 * MINUTE_MS)
    .optional(),
});

/** How mail is read; `host` and what follows it are the provider's where they are left out. */
export const imapSettingsSchema = z.object({
  provider: imapProviderSchema.default('generic'),
  host: hostSchema.optional(),
  port: z.int().min(1).max(65_535).optional(),
  security: z.enum(['tls', 'starttls', 'none']).optional(),
  folders: z.array(imapFolderWishSchema).min(1).max(20).optional(),
  standby: z.boolean().default(false),
  tuning: imapTuningSchema.default({}),
});

export type ImapSettings = z.infer<typeof imapSettingsSchema>;
export type ImapFolderWish = z.infer<typeof imapFolderWishSchema>;
export type ImapTuning = z.infer<typeof imapTuningSchema>;

/** Kept sealed, never answered and never logged. */
export const imapCredentialsSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('password'),
    user: z.string().min(1).max(500),
    password: z.string().min(1).max(2000),
  }),
  z.strictObject({
    type: z.literal('oauth'),
    user: z.string().min(1).max(500),
    provider: z
      .enum(['google', 'microsoft', 'custom'])
      .describe('Whose client asked for the consent; custom: the one given here'),
    refreshToken: z.string().min(1).max(8192),
    tokenUrl: z.url({ protocol: /^https?$/ }).optional(),
    clientId: z.string().min(1).max(500).optional(),
    clientSecret: z.string().max(2000).optional(),
  }),
]);

export type ImapCredentials = z.infer<typeof imapCredentialsSchema>;
