import { z } from 'zod';
import { imapProviderSchema } from '../core/imap-providers.ts';
import {
  type ImapSettings,
  imapCredentialsSchema,
  imapFolderWishSchema,
  imapSettingsSchema,
  imapTuningSchema,
} from '../core/imap-settings.ts';
import { sourceSchema } from '../core/resources.ts';
import { sinceField } from './fields.ts';

const { host, port, security } = imapSettingsSchema.shape;

const settingsFields = {
  provider: imapProviderSchema.optional().describe('Without it, as the host or the address tells'),
  host: host.describe("Without it the provider's, or as the DNS of the address tells (RFC 6186)"),
  port,
  security: security.describe('`none`, clear text, only to hosts that MAILGRESS_EGRESS_ALLOW names'),
  folders: z
    .array(imapFolderWishSchema)
    .min(1)
    .max(20)
    .optional()
    .describe('The first one idles. Without it: inbox and junk; of Gmail all mail, spam and trash'),
  standby: z
    .boolean()
    .optional()
    .describe('Sleeps while another source of the mailbox is alive, and reads in its stead when none is'),
  settings: imapTuningSchema.optional(),
};

export const newImapSourceSchema = z.strictObject({
  kind: z.literal('imap'),
  auth: imapCredentialsSchema,
  since: sinceField
    .optional()
    .describe('Mail from then on is read too; without it, what arrives from now on'),
  ...settingsFields,
});

export const imapChangeSchema = z.strictObject({ auth: imapCredentialsSchema.optional(), ...settingsFields });

/** What the server was found to have. */
export const imapReportSchema = z.object({
  idle: z.boolean().describe('It tells of new mail; else it is asked'),
  capabilities: z.array(z.string()),
  available: z.array(z.string()).describe('All folders that can be read'),
  folders: z.array(z.string()).describe('Those that are'),
});

export const imapSourceSchema = sourceSchema.extend({ report: imapReportSchema });

/** What was given of the settings, as they are kept. */
export function settingsOf({
  settings: tuning,
  ...given
}: Pick<z.infer<typeof imapChangeSchema>, keyof typeof settingsFields>): Partial<ImapSettings> {
  const { provider, host, port, security, folders, standby } = given;
  const entries = Object.entries({ provider, host, port, security, folders, standby, tuning });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}
