import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MailingList } from '../../../src/core/category/schema.ts';
import { categoryOf } from './category-of.ts';

const POST = 'List-Unsubscribe-Post: List-Unsubscribe=One-Click';
const plain: MailingList = { id: '', name: null, unsubscribe: '', oneClick: false };

describe('list', () => {
  const table: [string, string, Partial<MailingList> | null][] = [
    ['null for a mail without its headers', 'List-Help: <https://example.com/>\nPrecedence: list', null],
    ['null for an empty List-Id', 'List-Id:', null],
    ['null where nothing can be unsubscribed by', 'List-Unsubscribe: <javascript:alert(1)>', null],
    ['an id', 'List-Id: <news.example.com>', { id: 'news.example.com' }],
    ['an id without brackets', 'List-Id: news.example.com', { id: 'news.example.com' }],
    [
      'an id that is folded',
      'List-Id: News\n <news.\n example.com>',
      { id: 'news.example.com', name: 'News' },
    ],
    ['a name', 'List-Id: The News <news.example.com>', { id: 'news.example.com', name: 'The News' }],
    ['a quoted name', 'List-Id: "The \\"News\\" <x>" <a.b>', { id: 'a.b', name: 'The "News" <x>' }],
    ['an encoded name', 'List-Id: =?utf-8?Q?Caf=C3=A9?= <a.b>', { id: 'a.b', name: 'Café' }],
    ['an id without its end', 'List-Id: x <a.b', { id: 'a.b', name: 'x' }],
    ['at most 255 characters of an id', `List-Id: <${'a'.repeat(900)}>`, { id: 'a'.repeat(255) }],
    [
      'a page to unsubscribe',
      'List-Unsubscribe: <https://example.com/u?a=b,c>',
      { unsubscribe: 'https://example.com/u?a=b,c' },
    ],
    [
      'https before mailto',
      'List-Unsubscribe: <mailto:u@example.com>, (or) <HTTPS://example.com/u>',
      { unsubscribe: 'HTTPS://example.com/u' },
    ],
    [
      'mailto before http',
      'List-Unsubscribe: <http://example.com/u>, <mailto:u@example.com?subject=x>',
      { unsubscribe: 'mailto:u@example.com?subject=x' },
    ],
    [
      'http where there is no other',
      'List-Unsubscribe: <http://example.com/u>',
      { unsubscribe: 'http://example.com/u' },
    ],
    [
      'an address that is folded',
      'List-Unsubscribe: <https://example.com/\n long>',
      { unsubscribe: 'https://example.com/long' },
    ],
    [
      'addresses without brackets',
      'List-Unsubscribe: mailto:u@example.com, https://example.com/u',
      { unsubscribe: 'https://example.com/u' },
    ],
    [
      'an address in encoded words',
      'List-Unsubscribe: =?utf-8?Q?=3Chttps=3A//example.com/u=3E?=',
      { unsubscribe: 'https://example.com/u' },
    ],
    [
      'no address longer than 2,000 characters',
      `List-Id: <a.b>\nList-Unsubscribe: <https://${'a'.repeat(3_000)}>`,
      { id: 'a.b' },
    ],
    [
      'one click',
      `List-Unsubscribe: <https://example.com/u>\n${POST}`,
      { unsubscribe: 'https://example.com/u', oneClick: true },
    ],
    [
      'no one click by mail',
      `List-Unsubscribe: <mailto:u@example.com>\n${POST}`,
      { unsubscribe: 'mailto:u@example.com' },
    ],
    [
      'no one click without encryption',
      `List-Unsubscribe: <http://example.com/u>\n${POST}`,
      { unsubscribe: 'http://example.com/u' },
    ],
    [
      'no one click by another value',
      'List-Unsubscribe: <https://example.com/u>\nList-Unsubscribe-Post: yes',
      { unsubscribe: 'https://example.com/u' },
    ],
  ];
  for (const [what, headers, expected] of table)
    test(`is ${what}`, async () => {
      const { list } = await categoryOf(`${headers}\n\nHello`);
      assert.deepEqual(list, expected === null ? null : { ...plain, ...expected });
    });
});
