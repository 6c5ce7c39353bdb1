import { findPlacementOfName } from './folder-names.ts';
import type { Placement } from './message.ts';
import type { RawMail } from './raw-mail.ts';

/** Gmail's tabs. A mail keeps such a label when it is archived: it then is in no tab. */
const TABS: ReadonlyMap<string, Placement> = new Map([
  ['CATEGORY_PROMOTIONS', 'promotions'],
  ['CATEGORY_SOCIAL', 'social'],
  ['CATEGORY_UPDATES', 'updates'],
  ['CATEGORY_FORUMS', 'forums'],
]);

/**
 * RFC 6154, 2. `\Inbox` is no attribute of it, but what some servers and libraries say of INBOX; nor is `\Promotions`, which
 * is what whoever chose the folder by its name says.
 */
const ROLES: ReadonlyMap<string, Placement> = new Map([
  ['\\inbox', 'inbox'],
  ['\\junk', 'spam'],
  ['\\sent', 'sent'],
  ['\\drafts', 'drafts'],
  ['\\trash', 'trash'],
  ['\\archive', 'archive'],
  ['\\promotions', 'promotions'],
]);

type Place = Pick<RawMail, 'identity' | 'labels' | 'folder' | 'folderRole' | 'truncated'>;

/**
 * Where a mail lies: as its labels have it, else the special use of its folder, else the folder's name. `archive` is
 * also a Gmail mail with no label of a place (https://developers.google.com/workspace/gmail/api/guides/labels);
 * `other` is what nobody told.
 */
export function placementOf(mail: Place): Placement {
  return placementByLabels(mail.labels) ?? placementByFolder(mail) ?? placementWithoutSign(mail);
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

/**
 * The server's word first: a person may call any folder "Spam". INBOX is the one name that IMAP defines, in any case
 * (RFC 9051, 5.1), and only as a whole: `user/bob/INBOX` is somebody else's.
 */
function placementByFolder({ folder, folderRole }: Place): Placement | undefined {
  const placement = folderRole === null ? undefined : ROLES.get(folderRole.toLowerCase());
  if (placement !== undefined || folder === null) return placement;
  return folder.toUpperCase() === 'INBOX' ? 'inbox' : findPlacementOfName(folder);
}

/**
 * Of a truncated mail the labels may not have come either: none then says nothing. Over IMAP they stand in the listing, and
 * come in any case. Gmail's All Mail (`\All`) holds
 * what is in no other place, and the rest with its labels.
 */
function placementWithoutSign(mail: Place): Placement {
  const areLabelsKnown = mail.labels.length > 0 || !mail.truncated || mail.folder !== null;
  const isInNoFolder = mail.folder === null || mail.folderRole?.toLowerCase() === '\\all';
  return mail.identity.base === 'gmail' && areLabelsKnown && isInNoFolder ? 'archive' : 'other';
}
