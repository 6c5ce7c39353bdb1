import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ImapProvider } from '../../../src/core/imap-providers.ts';
import {
  chooseFolders,
  type ListedFolder,
  type WantedFolder,
} from '../../../src/sources/imap/choose-folders.ts';

/** As LIST tells it: `path \Flag \Flag`; the path may hold single spaces. */
function folder(line: string, delimiter: string | undefined = '/'): ListedFolder {
  const [path = '', ...flags] = line.split(/ (?=\\)/);
  const name = (delimiter && path.split(delimiter).at(-1)) || path;
  return { path, name, delimiter, flags: new Set(flags) };
}
const list = (...lines: string[]) => lines.map((line) => folder(line));

const DOVECOT = list('Trash \\Trash', 'Junk \\Junk', 'Sent \\Sent', 'INBOX', 'Drafts \\Drafts');
const GMAIL_DE = list(
  'INBOX \\HasNoChildren',
  '[Gmail] \\HasChildren \\Noselect',
  '[Gmail]/Alle Nachrichten \\All',
  '[Gmail]/Entwürfe \\Drafts',
  '[Gmail]/Gesendet \\Sent',
  '[Gmail]/Papierkorb \\Trash',
  '[Gmail]/Spam \\Junk',
  '[Gmail]/Wichtig \\Important',
  'Work',
);
const OUTLOOK = list('Archive', 'Deleted Items', 'Drafts', 'INBOX', 'Junk Email', 'Outbox', 'Sent Items');

type Case = [
  name: string,
  listed: ListedFolder[],
  wanted: WantedFolder[] | undefined,
  provider: ImapProvider,
  folders: Record<string, string | null>,
  missing?: WantedFolder[],
];

const CASES: Case[] = [
  ['inbox and junk', DOVECOT, undefined, 'generic', { INBOX: '\\Inbox', Junk: '\\Junk' }],
  [
    'promotions where there is such a folder',
    [...DOVECOT, folder('INBOX/Promotions')],
    undefined,
    'generic',
    { INBOX: '\\Inbox', Junk: '\\Junk', 'INBOX/Promotions': '\\Promotions' },
  ],
  [
    'its own junk before one of others that is shared with it',
    ['#shared.bob.Junk \\Junk', 'INBOX', 'INBOX.Junk \\Junk'].map((line) => folder(line, '.')),
    undefined,
    'generic',
    { INBOX: '\\Inbox', 'INBOX.Junk': '\\Junk' },
  ],
  [
    'its own junk by name before one of others that the server calls so, and none of theirs where it has none',
    [
      ...list('INBOX', 'Junk E-mail'),
      { ...folder('Other Users/bob/Junk \\Junk'), isOfOthers: true },
      { ...folder('Public/Promotions'), isOfOthers: true },
    ],
    undefined,
    'generic',
    { INBOX: '\\Inbox', 'Junk E-mail': '\\Junk' },
  ],
  [
    'what others share when it is named',
    [folder('INBOX'), { ...folder('Other Users/bob/INBOX'), isOfOthers: true }],
    [{ path: 'Other Users/bob/INBOX' }],
    'generic',
    { 'Other Users/bob/INBOX': null },
  ],
  ['the inbox alone where there is no junk', list('INBOX'), undefined, 'generic', { INBOX: '\\Inbox' }],
  [
    'junk by its name at Outlook',
    OUTLOOK,
    undefined,
    'microsoft',
    { INBOX: '\\Inbox', 'Junk Email': '\\Junk' },
  ],
  [
    'junk by its name at Yahoo',
    list('Archive', 'Bulk Mail', 'Inbox', 'Sent'),
    undefined,
    'yahoo',
    { Inbox: '\\Inbox', 'Bulk Mail': '\\Junk' },
  ],
  [
    'All Mail, spam and trash of a German Gmail',
    GMAIL_DE,
    undefined,
    'gmail',
    { '[Gmail]/Alle Nachrichten': '\\All', '[Gmail]/Spam': '\\Junk', '[Gmail]/Papierkorb': '\\Trash' },
  ],
  [
    'the inbox where Gmail hides All Mail and Spam',
    GMAIL_DE.filter(({ path }) => !/Alle|Spam/.test(path)),
    undefined,
    'gmail',
    { INBOX: '\\Inbox', '[Gmail]/Papierkorb': '\\Trash' },
    [{ role: 'all' }, { role: 'junk' }],
  ],
  [
    'what a person wants of Gmail',
    GMAIL_DE,
    [{ role: 'sent' }, { role: 'inbox' }],
    'gmail',
    { INBOX: '\\Inbox', '[Gmail]/Gesendet': '\\Sent' },
  ],
  [
    'All Mail first of Gmail, wherever it was wanted',
    GMAIL_DE,
    [{ role: 'inbox' }, { path: '[Gmail]/Alle Nachrichten' }],
    'gmail',
    { '[Gmail]/Alle Nachrichten': '\\All', INBOX: '\\Inbox' },
  ],
  [
    'special use before a name',
    list('INBOX', 'Spam', 'Weg damit \\junk'),
    [{ role: 'junk' }],
    'generic',
    { 'Weg damit': '\\Junk' },
  ],
  [
    'no name that the server gave another use',
    list('INBOX', 'Spam \\Archive'),
    [{ role: 'junk' }, { role: 'archive' }],
    'generic',
    { Spam: '\\Archive' },
    [{ role: 'junk' }],
  ],
  [
    'the name nearest to the top',
    list('INBOX', 'INBOX/Junk', 'Junk E-mail'),
    [{ role: 'junk' }],
    'generic',
    { 'Junk E-mail': '\\Junk' },
  ],
  [
    'no name deep down',
    list('INBOX', 'Clients/2024/Sent'),
    [{ role: 'sent' }],
    'generic',
    {},
    [{ role: 'sent' }],
  ],
  [
    'no guess from a name deep down',
    [folder('INBOX'), { ...folder('shared/bob/Spam'), specialUse: '\\Junk', specialUseSource: 'name' }],
    undefined,
    'generic',
    { INBOX: '\\Inbox' },
  ],
  [
    'names below INBOX with a dot',
    [folder('INBOX', '.'), folder('INBOX.Courrier indésirable', '.')],
    undefined,
    'generic',
    { INBOX: '\\Inbox', 'INBOX.Courrier indésirable': '\\Junk' },
  ],
  [
    'names of a server without a hierarchy',
    [folder('INBOX', undefined), folder('Spam', undefined)],
    undefined,
    'generic',
    { INBOX: '\\Inbox', Spam: '\\Junk' },
  ],
  [
    'what imapflow guesses, last',
    [folder('INBOX'), { ...folder('Skräp'), specialUse: '\\Junk', specialUseSource: 'name' }],
    undefined,
    'generic',
    { INBOX: '\\Inbox', Skräp: '\\Junk' },
  ],
  [
    'what imapflow read from the server',
    [
      folder('INBOX'),
      folder('Spam'),
      { ...folder('X'), specialUse: '\\Junk', specialUseSource: 'extension' },
    ],
    undefined,
    'generic',
    { INBOX: '\\Inbox', X: '\\Junk' },
  ],
  [
    'paths to the letter, INBOX in any case, each folder once and INBOX first',
    [...DOVECOT, folder('Work')],
    [
      { path: 'Work' },
      { path: 'inbox' },
      { role: 'inbox' },
      { path: 'work' },
      { path: 'Junk' },
      { role: 'junk' },
    ],
    'generic',
    { INBOX: '\\Inbox', Work: null, Junk: '\\Junk' },
    [{ path: 'work' }],
  ],
  [
    'the first wanted where there is no INBOX among them',
    [...DOVECOT, folder('Work')],
    [{ path: 'Work' }, { role: 'trash' }],
    'generic',
    { Work: null, Trash: '\\Trash' },
  ],
  [
    'no guess for a path',
    [folder('INBOX'), { ...folder('Spam'), specialUse: '\\Junk', specialUseSource: 'name' }],
    [{ path: 'Spam' }],
    'generic',
    { Spam: null },
  ],
  [
    'nothing that cannot be selected',
    list('INBOX \\NoSelect', 'Junk \\Junk \\NonExistent', 'Work \\noselect'),
    [{ role: 'inbox' }, { role: 'junk' }, { path: 'Work' }],
    'generic',
    {},
    [{ role: 'inbox' }, { role: 'junk' }, { path: 'Work' }],
  ],
  ['nothing from an empty list', [], undefined, 'generic', {}, [{ role: 'inbox' }]],
];

describe('chooseFolders', () => {
  for (const [name, listed, wanted, provider, folders, missing = []] of CASES)
    test(`chooses ${name}`, () => {
      const chosen = chooseFolders(listed, wanted, provider);
      const entries = chosen.folders.map(({ path, role }) => [path, role]);
      assert.deepEqual(entries, Object.entries(folders));
      assert.deepEqual(chosen.missing, missing);
    });
});
