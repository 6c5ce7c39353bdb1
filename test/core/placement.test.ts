import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Placement } from '../../src/core/message.ts';
import { placementOf } from '../../src/core/placement.ts';
import type { MailIdentity, RawMail } from '../../src/core/raw-mail.ts';
import { rawMail } from '../support/raw-mail.ts';

const GMAIL: MailIdentity = { base: 'gmail', id: '18c0ffee' };
const OTHER: MailIdentity = { base: 'content' };

const placeOf = (known: Partial<RawMail>): Placement => placementOf(rawMail('', known));

describe('placementOf', () => {
  const ofLabels: [string[], Placement][] = [
    [['INBOX'], 'inbox'],
    [['INBOX', 'CATEGORY_PERSONAL', 'UNREAD', 'Label_7'], 'inbox'],
    [['CATEGORY_PROMOTIONS', 'INBOX'], 'promotions'],
    [['INBOX', 'CATEGORY_SOCIAL'], 'social'],
    [['INBOX', 'CATEGORY_UPDATES'], 'updates'],
    [['INBOX', 'CATEGORY_FORUMS'], 'forums'],
    [['CATEGORY_PROMOTIONS'], 'archive'],
    [['Label_7', 'UNREAD'], 'archive'],
    [[], 'archive'],
    [['SPAM', 'CATEGORY_PROMOTIONS'], 'spam'],
    [['TRASH', 'INBOX'], 'trash'],
    [['SPAM', 'TRASH'], 'spam'],
    [['DRAFT', 'SENT'], 'drafts'],
    [['SENT'], 'sent'],
    [['SENT', 'INBOX'], 'inbox'],
    [['SENT', 'TRASH'], 'trash'],
  ];
  for (const [labels, expected] of ofLabels)
    test(`places a Gmail mail labelled ${labels.join(' ') || 'nothing'} in ${expected}`, () =>
      assert.equal(placeOf({ identity: GMAIL, labels }), expected));

  test('does not claim to know where a truncated mail without labels lies', () => {
    assert.equal(placeOf({ identity: GMAIL, truncated: true }), 'other');
    // Over IMAP labels come with the listing.
    const allMail = { folder: '[Gmail]/All Mail', folderRole: '\\All' };
    assert.equal(placeOf({ identity: GMAIL, truncated: true, ...allMail }), 'archive');
  });

  const ofFolder: [string, MailIdentity, string[], string | null, Placement][] = [
    ['INBOX is the inbox', OTHER, [], 'INBOX', 'inbox'],
    ['INBOX is the inbox in any case', OTHER, [], 'Inbox', 'inbox'],
    ['another folder is not', OTHER, [], 'INBOX/Lists', 'other'],
    ['a mail without folder and labels is nowhere we know', OTHER, [], null, 'other'],
    ['labels count without Gmail too', OTHER, ['INBOX'], null, 'inbox'],
    ['labels that say nothing leave another mail where it is not known', OTHER, ['Label_7'], null, 'other'],
    ['labels come before the folder', GMAIL, ['TRASH'], 'INBOX', 'trash'],
    ['a Gmail mail over IMAP without labels is in its folder', GMAIL, [], 'INBOX', 'inbox'],
    ['a Gmail mail over IMAP in another folder is nowhere we know', GMAIL, [], 'Work', 'other'],
    ['the inbox of somebody else is not', OTHER, [], 'user/bob/INBOX', 'other'],
  ];
  for (const [claim, identity, labels, folder, expected] of ofFolder)
    test(claim, () => assert.equal(placeOf({ identity, labels, folder }), expected));

  const ofRole: [string, Partial<RawMail>, Placement][] = [
    ['\\Junk is spam', { folder: 'Later', folderRole: '\\Junk' }, 'spam'],
    ['a role counts in any case', { folder: 'Later', folderRole: '\\JUNK' }, 'spam'],
    ['\\Sent is sent', { folder: 'x', folderRole: '\\Sent' }, 'sent'],
    ['\\Drafts are drafts', { folder: 'x', folderRole: '\\Drafts' }, 'drafts'],
    ['\\Trash is trash', { folder: 'x', folderRole: '\\Trash' }, 'trash'],
    ['\\Archive is archive', { folder: 'x', folderRole: '\\Archive' }, 'archive'],
    ['\\Inbox is the inbox', { folder: 'x', folderRole: '\\Inbox' }, 'inbox'],
    ['a role comes before the name', { folder: 'Spam', folderRole: '\\Archive' }, 'archive'],
    ['a role of no place leaves it to the name', { folder: 'Spam', folderRole: '\\Flagged' }, 'spam'],
    ['a role alone is enough', { folderRole: '\\Junk' }, 'spam'],
    ['labels come before the role', { labels: ['INBOX'], folderRole: '\\Junk' }, 'inbox'],
    [
      'of All Mail the labels tell',
      { identity: GMAIL, labels: ['INBOX'], folder: '[Gmail]/All Mail', folderRole: '\\All' },
      'inbox',
    ],
    [
      'what is in All Mail and nowhere else is archived',
      { identity: GMAIL, folder: '[Gmail]/All Mail', folderRole: '\\All' },
      'archive',
    ],
    ['a folder of everything says nothing elsewhere', { folder: 'Everything', folderRole: '\\All' }, 'other'],
  ];
  for (const [claim, known, expected] of ofRole) test(claim, () => assert.equal(placeOf(known), expected));

  const ofName: [string, Placement][] = [
    ['[Gmail]/Spam', 'spam'],
    ['[Google Mail]/Spam', 'spam'],
    ['[Gmail]/Papierkorb', 'trash'],
    ['[Gmail]/Gesendet', 'sent'],
    ['[Gmail]/Messages envoyés', 'sent'],
    ['[Gmail]/Itens Enviados', 'sent'],
    ['[Gmail]/Lixeira', 'trash'],
    ['[Gmail]/Çöp Kutusu', 'trash'],
    ['[Gmail]/Спам', 'spam'],
    ['[Gmail]/ゴミ箱', 'trash'],
    ['[Gmail]/All Mail', 'other'],
    ['Junk Email', 'spam'],
    ['JUNK E-MAIL', 'spam'],
    ['Bulk Mail', 'spam'],
    ['Courrier indésirable', 'spam'],
    ['Courrier inde\u0301sirable', 'spam'],
    ['Spam-Ordner', 'spam'],
    ['Correo no deseado', 'spam'],
    ['垃圾邮件', 'spam'],
    ['İstenmeyen E-posta', 'spam'],
    ['Papierkorb', 'trash'],
    ['Deleted Items', 'trash'],
    ['Deleted Messages', 'trash'],
    ['Éléments supprimés', 'trash'],
    ['Sent', 'sent'],
    ['Sent Messages', 'sent'],
    ['已发送', 'sent'],
    ['送信済みメール', 'sent'],
    ['Entwürfe', 'drafts'],
    ['Черновики', 'drafts'],
    ['Archive', 'archive'],
    ['INBOX.Spam', 'spam'],
    ['INBOX.Sent Items', 'sent'],
    ['INBOX/Trash', 'trash'],
    ['Archives.2024.Drafts', 'drafts'],
    ['Sent/2024', 'other'],
    ['Spam reports', 'other'],
    ['Customers/Deleted accounts', 'other'],
    ['Not Spam', 'other'],
    ['/', 'other'],
    ['', 'other'],
    ['x/'.repeat(100_000), 'other'],
  ];
  for (const [folder, expected] of ofName)
    test(`places a mail in the folder ${JSON.stringify(folder.slice(0, 40))} in ${expected}`, () =>
      assert.equal(placeOf({ folder }), expected));
});
