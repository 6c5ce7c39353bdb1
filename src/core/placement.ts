import type { Placement } from './message.ts';
import type { RawMail } from './raw-mail.ts';

/** Gmail's tabs. A mail keeps such a label when it is archived: it then is in no tab. */
const TABS: ReadonlyMap<string, Placement> = new Map([
  ['CATEGORY_PROMOTIONS', 'promotions'],
  ['CATEGORY_SOCIAL', 'social'],
  ['CATEGORY_UPDATES', 'updates'],
  ['CATEGORY_FORUMS', 'forums'],
]);

type Place = Pick<RawMail, 'identity' | 'labels' | 'folder' | 'truncated'>;

/**
 * Where a mail lies, as its labels have it, else its folder. `archive` is a Gmail mail with no label of a place
 * (https://developers.google.com/workspace/gmail/api/guides/labels); `other` is what nobody told.
 */
export function placementOf(mail: Place): Placement {
  return placementByLabels(mail.labels) ?? placementByFolder(mail.folder) ?? placementWithoutSign(mail);
}

/** The order matters: Gmail leaves a mail's other labels on it in spam and in the trash. */
function placementByLabels(labels: readonly string[]): Placement | undefined {
  const isInInbox = labels.includes('INBOX');
  if (labels.includes('SPAM')) return 'spam';
  if (labels.includes('TRASH')) return 'trash';
  if (labels.includes('DRAFT')) return 'drafts';
  // A mail to oneself is both sent and received: received is the news.
  if (labels.includes('SENT') && !isInInbox) return 'sent';
  if (!isInInbox) return undefined;
  return labels.map((label) => TABS.get(label)).find((tab) => tab !== undefined) ?? 'inbox';
}

/** INBOX is the one name that IMAP defines, in any case (RFC 9051, 5.1). */
function placementByFolder(folder: string | null): Placement | undefined {
  return folder?.toUpperCase() === 'INBOX' ? 'inbox' : undefined;
}

/** Of a truncated mail the labels may not have come either: none then says nothing. */
function placementWithoutSign(mail: Place): Placement {
  const areLabelsKnown = mail.labels.length > 0 || !mail.truncated;
  return mail.identity.base === 'gmail' && areLabelsKnown && mail.folder === null ? 'archive' : 'other';
}
