import { z } from 'zod';
import type { RawMail } from '../../core/raw-mail.ts';

/** The plain form: four strings from a script of a person's own. */
export const plainMailSchema = z.object({
  subject: z.string(),
  sender: z.string().describe('`Name <a@example.com>` or the address alone'),
  body: z.string(),
  date: z
    .string()
    .refine((text) => !Number.isNaN(Date.parse(text)), {
      error: 'must be a date, such as 2026-11-20T10:00:00Z',
    })
    .describe('Tells two mails with the same words apart'),
});

export type PlainMail = z.infer<typeof plainMailSchema>;

/**
 * Makes an RFC 5322 mail of the plain form, so that all mail takes one path. The same form gives the same bytes, and
 * so the same dedupe key.
 */
export function composePlainMail({ subject, sender, body, date }: PlainMail): RawMail {
  const sentAt = new Date(date);
  const bytes = Buffer.from(
    [
      `From: ${headerText(sender)}`,
      `Subject: ${headerText(subject)}`,
      `Date: ${sentAt.toUTCString().replace('GMT', '+0000')} (${sentAt.getUTCMilliseconds()} ms)`,
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: 8bit',
      '',
      body.replace(/\r\n?|\n/g, '\r\n'),
    ].join('\r\n'),
  );
  return {
    bytes,
    truncated: false,
    identity: { base: 'content' },
    providerId: null,
    threadId: null,
    labels: [],
    folder: null,
    folderRole: null,
    internalDate: sentAt,
    snippet: null,
  };
}

/** UTF-8 headers (RFC 6532), on one line: a line break in a subject must not begin another header. */
function headerText(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\r\n]+/g, ' ')
    .trim();
}
