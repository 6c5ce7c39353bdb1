import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gmailLabelsOf } from '../../../src/sources/imap/gmail-labels.ts';

const CASES: [string, labels: string[], role: string | null, categories: string[], expected: string[]][] = [
  ['nothing', [], null, [], []],
  ['the inbox', ['\\Inbox', '\\Important'], '\\All', [], ['INBOX', 'IMPORTANT']],
  [
    'every system label',
    ['\\Inbox', '\\Sent', '\\Draft', '\\Important', '\\Starred', '\\Spam', '\\Trash'],
    null,
    [],
    ['INBOX', 'SENT', 'DRAFT', 'IMPORTANT', 'STARRED', 'SPAM', 'TRASH'],
  ],
  ['other spellings, once each', ['\\Drafts', '\\DRAFT', '\\Junk', '\\spam'], null, [], ['DRAFT', 'SPAM']],
  [
    'labels of a person',
    ['Café', 'a b', 'Work/2026', '日本'],
    null,
    [],
    ['Café', 'a b', 'Work/2026', '日本'],
  ],
  ['the spam folder', ['Work'], '\\Junk', [], ['Work', 'SPAM']],
  ['the spam folder whose label is told too', ['\\Spam'], '\\junk', [], ['SPAM']],
  ['the trash', ['\\Inbox'], '\\Trash', [], ['INBOX', 'TRASH']],
  ['the selected inbox, which leaves its label out', ['\\Important'], '\\Inbox', [], ['IMPORTANT', 'INBOX']],
  ['All Mail', ['\\Sent'], '\\All', [], ['SENT']],
  [
    'categories',
    ['\\Inbox'],
    '\\All',
    ['CATEGORY_PROMOTIONS', 'CATEGORY_UPDATES'],
    ['INBOX', 'CATEGORY_PROMOTIONS', 'CATEGORY_UPDATES'],
  ],
  ['labels of a person that look like ours', ['DRAFT', 'SPAM', 'CATEGORY_SOCIAL', ''], null, [], []],
  ['system labels unknown to us', ['\\Muted', '\\Inbox'], null, [], ['INBOX']],
];
for (const [name, labels, role, categories, expected] of CASES)
  test(`names ${name}`, () => {
    assert.deepEqual(gmailLabelsOf(labels, role, categories), expected);
    assert.deepEqual(gmailLabelsOf(new Set(labels), role, categories), expected, 'as a set');
  });
