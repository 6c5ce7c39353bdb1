import { randomUUID } from 'node:crypto';

/** A mail to put into a mailbox. */
export type NewMail = {
  subject?: string;
  /** INBOX and UNREAD unless given. */
  labelIds?: readonly string[];
  /** The whole mail (RFC 5322) in place of a short one of this subject. */
  raw?: string | Uint8Array;
  /** When Gmail took it, in ms since 1970; now unless given. */
  internalDateMs?: number;
  threadId?: string;
};

/** The body of messages.import. */
export function importBody(account: string, mail: NewMail): object {
  const { subject = 'A mail', labelIds = ['INBOX', 'UNREAD'], internalDateMs = Date.now(), threadId } = mail;
  const raw = mail.raw ?? shortMail(account, subject, internalDateMs);
  return {
    raw: Buffer.from(raw).toString('base64url'),
    labelIds,
    internalDate: String(internalDateMs),
    ...(threadId !== undefined && { threadId }),
  };
}

function shortMail(account: string, subject: string, atMs: number): string {
  return [
    'From: Ada <ada@example.net>',
    `To: ${account}`,
    `Subject: ${subject}`,
    `Date: ${new Date(atMs).toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <${randomUUID()}@example.net>`,
    'Content-Type: text/plain; charset=utf-8',
    '',
    `Hello, this is ${subject}.`,
    '',
  ].join('\r\n');
}
