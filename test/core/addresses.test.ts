import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readAddresses } from '../../src/core/addresses.ts';
import type { Address } from '../../src/core/message.ts';
import { parseMime } from '../../src/core/mime.ts';
import { bytesOf } from '../support/raw-mail.ts';

const read = async (headers: string) => readAddresses(await parseMime(bytesOf(`${headers}\n\n`)));
const ada: Address = { name: 'Ada', address: 'ada@example.com' };
const bob: Address = { name: '', address: 'bob@example.org' };

describe('readAddresses', () => {
  const lists: [string, string, Address[]][] = [
    ['reads names and addresses', 'To: Ada <ada@example.com>, bob@example.org', [ada, bob]],
    ['reads quoted names', 'To: "Ada, the first" <ada@example.com>', [{ ...ada, name: 'Ada, the first' }]],
    ['reads a comment as a name', 'To: ada@example.com (Ada)', [ada]],
    [
      'flattens groups',
      'To: Team: Ada <ada@example.com>, bob@example.org;, ada@example.com',
      [ada, bob, { ...ada, name: '' }],
    ],
    ['decodes encoded words', 'To: =?utf-8?Q?Ad=C3=A0?= <ada@example.com>', [{ ...ada, name: 'Adà' }]],
    [
      'decodes a name in iso-2022-jp',
      'To: =?ISO-2022-JP?B?GyRCOzNFRBsoQg==?= <ada@example.com>',
      [{ ...ada, name: '山田' }],
    ],
    [
      'keeps a name on one line',
      'To: =?utf-8?Q?Ada=0D=0ABcc=3A_x?= <ada@example.com>',
      [{ ...ada, name: 'Ada Bcc: x' }],
    ],
    ['reads every such header', 'To: Ada <ada@example.com>\nTo: bob@example.org', [ada, bob]],
    ['drops what has no address', 'To: Nobody, <>, Ada <ada@example.com>', [ada]],
    ['reads folded headers', 'To: Ada\n <ada@example.com>,\n\tbob@example.org', [ada, bob]],
    ['reads UTF-8 headers', 'To: Адa <ада@example.org>', [{ name: 'Адa', address: 'ада@example.org' }]],
    ['is empty where there is none', 'Subject: x', []],
  ];
  for (const [claim, headers, expected] of lists)
    test(claim, async () => assert.deepEqual((await read(headers)).addresses.to, expected));

  const singles: [string, string, Address | null][] = [
    ['takes the first mailbox', 'From: Ada <ada@example.com>, bob@example.org', ada],
    ['takes the first header', 'From: Ada <ada@example.com>\nFrom: bob@example.org', ada],
    ['passes over an entry without address', 'From: Lovelace, Ada <ada@example.com>', ada],
    ['takes the first of a group', 'From: Team: Ada <ada@example.com>, bob@example.org;', ada],
    ['is null for a name alone', 'From: MAILER-DAEMON', null],
    ['is null for an empty header', 'From:', null],
    ['is null where there is none', 'To: bob@example.org', null],
  ];
  for (const [claim, headers, expected] of singles)
    test(`from ${claim}`, async () => assert.deepEqual((await read(headers)).addresses.from, expected));

  test('tells every header apart', async () => {
    const headers = ['From', 'Sender', 'Reply-To', 'To', 'Cc', 'Bcc'].map(
      (name, i) => `${name}: ${i}@example.com`,
    );
    const { addresses } = await read(headers.join('\n'));
    const numbered = (i: number) => ({ name: '', address: `${i}@example.com` });
    assert.deepEqual(addresses, {
      from: numbered(0),
      sender: numbered(1),
      replyTo: [numbered(2)],
      to: [numbered(3)],
      cc: [numbered(4)],
      bcc: [numbered(5)],
    });
  });

  const readability: [string, boolean][] = [
    ['To: ada@example.com', true],
    ['To: undisclosed-recipients:;', true],
    ['To:', true],
    ['Subject: x', true],
    ['To: Nobody, ada@example.com', true],
    ['To: Nobody', false],
    ['Reply-To: <>', false],
    ['From: MAILER-DAEMON', false],
    ['From: Team:;', true],
  ];
  for (const [headers, expected] of readability)
    test(`${headers} ${expected ? 'is' : 'is not'} readable`, async () =>
      assert.equal((await read(headers)).areReadable, expected));
});
