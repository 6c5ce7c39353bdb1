import { findPlacementOfName } from '../../core/folder-names.ts';
import type { ImapProvider } from '../../core/imap-providers.ts';
import type { Placement } from '../../core/message.ts';

/** A folder as LIST told it: of imapflow's ListResponse what is needed here. */
export type ListedFolder = {
  /** Decoded, with the delimiter of the server. */
  path: string;
  name: string;
  delimiter: string | undefined;
  flags: ReadonlySet<string>;
  specialUse?: string | undefined;
  /** `name`: imapflow guessed `specialUse`. */
  specialUseSource?: 'user' | 'extension' | 'name' | undefined;
  /** Shared with the account: read only when it is named by its path. */
  isOfOthers?: boolean | undefined;
};

export type FolderRole = 'inbox' | 'junk' | 'promotions' | 'all' | 'trash' | 'sent' | 'archive' | 'drafts';
export type WantedFolder = { role: FolderRole } | { path: string };

export type ChosenFolder = {
  path: string;
  /** Special use, as the server or the folder's name told it (`\Junk`; `\Inbox` of INBOX); null if none. */
  role: string | null;
};

type Role = { attribute: string | null; placement: Placement; names: ReadonlySet<string> };

/**
 * How a role is found. `names`: what `findPlacementOfName` does not know. All Mail has no other name outside of Gmail,
 * and promotions no special use anywhere.
 */
const ROLES: Readonly<Record<FolderRole, Role>> = {
  inbox: { attribute: '\\Inbox', placement: 'inbox', names: new Set() },
  junk: { attribute: '\\Junk', placement: 'spam', names: new Set() },
  trash: { attribute: '\\Trash', placement: 'trash', names: new Set() },
  sent: { attribute: '\\Sent', placement: 'sent', names: new Set() },
  drafts: { attribute: '\\Drafts', placement: 'drafts', names: new Set() },
  archive: { attribute: '\\Archive', placement: 'archive', names: new Set() },
  all: { attribute: '\\All', placement: 'other', names: new Set(['all mail']) },
  promotions: {
    // No server's word, and so what such a folder is called once its name has told.
    attribute: '\\Promotions',
    placement: 'promotions',
    names: new Set(['promotions', 'promotion', 'werbung', 'promociones', 'promoções', 'promozioni']),
  },
};

/** What a source watches unless told. What is not `isNeeded` many servers do not have: that is no fault. */
type Default = { want: WantedFolder; isNeeded: boolean };

const DEFAULTS: readonly Default[] = [
  { want: { role: 'inbox' }, isNeeded: true },
  { want: { role: 'junk' }, isNeeded: false },
  { want: { role: 'promotions' }, isNeeded: false },
];

/** All Mail holds whatever is neither spam nor trash. A person can hide each of them from IMAP. */
const GMAIL_DEFAULTS: readonly Default[] = [
  { want: { role: 'all' }, isNeeded: true },
  { want: { role: 'junk' }, isNeeded: true },
  { want: { role: 'trash' }, isNeeded: true },
];

/**
 * The folders to watch, each once. The first is the main one, to idle on: of Gmail All Mail, else INBOX, else the first
 * wanted. INBOX stands in for an All Mail of Gmail that is hidden, when nothing was wanted.
 *
 * A role is found among the account's own folders: by the special use that the server tells, else by known names at the top,
 * below INBOX or below `[Gmail]`, else as imapflow guesses it there. A path has to be right to the letter, but for INBOX (RFC 9051, 5.1).
 *
 * @param listed in the order of LIST. An empty LIST, or one that failed, never means that all folders are gone: nothing
 *   is chosen from it, and the caller keeps to the folders it had. One whose name is no text is left out.
 * @param wanted undefined: as the provider's mail is best watched.
 * @returns `missing`: what was wanted, or is needed, and is not there or cannot be selected.
 */
export function chooseFolders(
  listed: readonly ListedFolder[],
  wanted: readonly WantedFolder[] | undefined,
  provider: ImapProvider,
): { folders: ChosenFolder[]; missing: WantedFolder[] } {
  const selectable = listed.filter((folder) => isSelectable(folder) && isNameable(folder));
  const wants = wanted?.map((want) => ({ want, isNeeded: true })) ?? defaultsOf(provider, selectable);
  const byPath = new Map<string, ChosenFolder>();
  const missing: WantedFolder[] = [];
  for (const { want, isNeeded } of wants) {
    const folder = findFolder(selectable, want);
    if (folder !== undefined) {
      const role = 'role' in want ? ROLES[want.role].attribute : toldRoleOf(folder);
      byPath.set(folder.path, byPath.get(folder.path) ?? { path: folder.path, role });
    } else if (isNeeded) missing.push(want);
  }
  const folders = [...byPath.values()];
  const main =
    (provider === 'gmail' ? folders.find(({ role }) => role === '\\All') : undefined) ?? findInbox(folders);
  return { folders: main ? [main, ...folders.filter((one) => one !== main)] : folders, missing };
}

function defaultsOf(provider: ImapProvider, selectable: readonly ListedFolder[]): readonly Default[] {
  if (provider !== 'gmail') return DEFAULTS;
  const hasAllMail = findFolder(selectable, { role: 'all' }) !== undefined;
  return hasAllMail ? GMAIL_DEFAULTS : [...GMAIL_DEFAULTS, { want: { role: 'inbox' }, isNeeded: true }];
}

/** RFC 3501, 7.2.2; RFC 5258, 3. Attributes are compared without case. */
function isSelectable({ flags }: ListedFolder): boolean {
  return !hasFlag(flags, '\\Noselect') && !hasFlag(flags, '\\NonExistent');
}

/**
 * `&2AA-` is half a character (RFC 3501, 5.1.3 has no word on it). The database would keep it as another name, or refuse it, and
 * the folder would be begun anew for ever.
 */
export function isNameable({ path }: Pick<ListedFolder, 'path'>): boolean {
  return path.isWellFormed() && !path.includes('\0');
}

/** What is missing, for whoever chose it: `"Support", for junk`. */
export function describeMissing(missing: readonly WantedFolder[], listed: readonly ListedFolder[]): string {
  const names = missing.map((one) => ('path' in one ? `"${one.path}"` : `for ${one.role}`)).join(', ');
  return listed.every(isNameable) ? names : `${names} (one whose name is no text is left out)`;
}

function hasFlag(flags: ReadonlySet<string>, flag: string): boolean {
  return flags.has(flag) || [...flags].some((one) => one.toLowerCase() === flag.toLowerCase());
}

function isInbox(path: string): boolean {
  return path.toUpperCase() === 'INBOX';
}

function findInbox<Folder extends { path: string }>(folders: readonly Folder[]): Folder | undefined {
  return folders.find(({ path }) => isInbox(path));
}

function findFolder(folders: readonly ListedFolder[], want: WantedFolder): ListedFolder | undefined {
  if ('path' in want) {
    return isInbox(want.path) ? findInbox(folders) : folders.find(({ path }) => path === want.path);
  }
  if (want.role === 'inbox') return findInbox(folders);
  const role = ROLES[want.role];
  const { attribute } = role;
  const own = folders.filter(({ isOfOthers }) => !isOfOthers);
  return (
    // Of a server that does not tell its namespaces, those of others are further down: `shared.bob.Junk`.
    shallowestOf(own.filter((folder) => attribute !== null && toldRoleOf(folder) === attribute)) ??
    shallowestOf(own.filter((folder) => isNamedFor(folder, role))) ??
    own.find((one) => attribute !== null && one.specialUse === attribute && depthOf(one) <= DEEPEST)
  );
}

/** A special use that is no guess by the name: who calls a folder "Spam" may mean something else. */
function toldRoleOf({ path, flags, specialUse, specialUseSource }: ListedFolder): string | null {
  if (isInbox(path)) return '\\Inbox';
  const told = Object.values(ROLES).find(({ attribute }) => attribute !== null && hasFlag(flags, attribute));
  return told?.attribute ?? (specialUseSource === 'name' ? null : (specialUse ?? null));
}

/** Further down a folder is a person's own: `Clients/2024/Sent`. */
const DEEPEST = 2;

function isNamedFor(folder: ListedFolder, { placement, names }: Role): boolean {
  // What the server has told to be for something else is not taken for this.
  if (depthOf(folder) > DEEPEST || toldRoleOf(folder) !== null) return false;
  if (names.has(folder.name.normalize('NFC').toLowerCase())) return true;
  return (findPlacementOfName(folder.path) ?? findPlacementOfName(folder.name)) === placement;
}

function depthOf({ path, delimiter }: ListedFolder): number {
  return delimiter === undefined || delimiter === '' ? 1 : path.split(delimiter).length;
}

function shallowestOf(folders: readonly ListedFolder[]): ListedFolder | undefined {
  return folders.toSorted((a, b) => depthOf(a) - depthOf(b))[0];
}
