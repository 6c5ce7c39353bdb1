import { canonicalGmailId } from '../../core/gmail-id.ts';
import type { RawMail } from '../../core/raw-mail.ts';
import type { GmailMessage } from './client.ts';

/** What the owner of a source chose to have beside received mail. */
export type GmailSettings = { sent?: boolean | undefined };

/**
 * Whether a message is no mail that came in, by its own labels: a list of labels on the history would miss what a filter
 * moves. A draft is saved under a new id each time; mail to oneself is both sent and in the inbox.
 */
export function isPassedOver(labels: readonly string[], { sent = false }: GmailSettings): boolean {
  return labels.includes('DRAFT') || (!sent && labels.includes('SENT') && !labels.includes('INBOX'));
}

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
