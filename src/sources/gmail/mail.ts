import { canonicalGmailId } from '../../core/gmail-id.ts';
import type { RawMail } from '../../core/raw-mail.ts';
import type { GmailMessage } from './client.ts';

/** What the owner of a source chose to have beside received mail. */
export type GmailSettings = { sent?: boolean | undefined };

export function toRawMail(message: GmailMessage): RawMail {
  const id = canonicalGmailId(message.id);
  return {
    bytes: Buffer.from(message.raw, 'base64url'),
    truncated: false,
    identity: { base: 'gmail', id },
    providerId: id,
    threadId: message.threadId,
    labels: message.labelIds,
    folder: null,
    folderRole: null,
    internalDate: message.internalDate,
    snippet: message.snippet,
  };
}
