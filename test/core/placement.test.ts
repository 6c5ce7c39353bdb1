import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Placement } from '../../src/core/message.ts';
import { placementOf } from '../../src/core/placement.ts';
import type { MailIdentity } from '../../src/core/raw-mail.ts';

const GMAIL: MailIdentity = { base: 'gmail', id: '18c0ffee' };
const OTHER: MailIdentity = { base: 'content' };

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
      assert.equal(placementOf({ identity: GMAIL, labels, folder: null, truncated: false }), expected));

  test('does not claim to know where a truncated mail without labels lies', () => {
    assert.equal(placementOf({ identity: GMAIL, labels: [], folder: null, truncated: true }), 'other');
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
    ['a Gmail mail over IMAP in another folder is nowhere we know', GMAIL, [], '[Gmail]/Spam', 'other'],
  ];
  for (const [claim, identity, labels, folder, expected] of ofFolder)
    test(claim, () => assert.equal(placementOf({ identity, labels, folder, truncated: false }), expected));
});
