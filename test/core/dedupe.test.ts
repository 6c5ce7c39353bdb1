import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dedupeKeyOf } from '../../src/core/dedupe.ts';
import { threadCpuMs } from '../support/cpu-time.ts';
import { rawMail } from '../support/raw-mail.ts';

const ID = '<1@example.com>';
const gmail = (id: string) => ({ identity: { base: 'gmail', id } as const });

/** The key of these exact bytes. */
function keyOf(mail: string, { messageId = null as string | null, id = '' } = {}): string {
  const raw = rawMail(Buffer.from(mail), id === '' ? {} : gmail(id));
  return Buffer.from(dedupeKeyOf(raw, { messageId })).toString('hex');
}

test('a key is 16 bytes and the same each time', () => {
  assert.match(keyOf('A: b\n\nbody'), /^[0-9a-f]{32}$/);
  assert.equal(keyOf('A: b\n\nbody'), keyOf('A: b\n\nbody'));
});

describe('of a Gmail mail', () => {
  test('the id alone counts', () => {
    assert.equal(keyOf('A: b\n\nx', { id: '18c', messageId: ID }), keyOf('C: d\n\ny', { id: '18c' }));
  });
  test('two mails with one Message-ID stay two', () => {
    assert.notEqual(
      keyOf('A: b\n\nx', { id: '18c', messageId: ID }),
      keyOf('A: b\n\nx', { id: '18d', messageId: ID }),
    );
  });
  test('the id is not taken for the Message-ID of another mail', () => {
    assert.notEqual(keyOf('', { id: '18c' }), keyOf('', { messageId: '18c' }));
  });
});

describe('of a mail with an EMAILID', () => {
  const emailIdKey = (scope: string, id: string, mail = 'A: b\n\nx', messageId: string | null = ID) => {
    const raw = rawMail(Buffer.from(mail), { identity: { base: 'emailid', scope, id } });
    return Buffer.from(dedupeKeyOf(raw, { messageId })).toString('hex');
  };
  const key = emailIdKey('imap.example.com/ada', 'M6d99ac3275bb4e');
  const others: [string, string, boolean][] = [
    ['the id alone counts', emailIdKey('imap.example.com/ada', 'M6d99ac3275bb4e', '', null), true],
    ['another id is another mail', emailIdKey('imap.example.com/ada', 'M6d99ac3275bb4f'), false],
    ['ids differ in case', emailIdKey('imap.example.com/ada', 'm6d99ac3275bb4e'), false],
    [
      'the same id of another account is another mail',
      emailIdKey('imap.example.com/bob', 'M6d99ac3275bb4e'),
      false,
    ],
    ['the scope is not taken for the id', emailIdKey('M6d99ac3275bb4e', 'imap.example.com/ada'), false],
    ['it is not taken for a Gmail id', keyOf('', { id: 'imap.example.com/ada\0M6d99ac3275bb4e' }), false],
    ['without it the mail has another key', keyOf('A: b\n\nx', { messageId: ID }), false],
  ];
  for (const [claim, other, isSame] of others) test(claim, () => assert.equal(other === key, isSame));
});

test('keys never change: the ledger holds them forever', () => {
  const identity = { base: 'emailid', scope: 'imap.example.com/ada', id: 'M1' } as const;
  const emailIdKey = dedupeKeyOf(rawMail(Buffer.of(), { identity }), { messageId: null });
  assert.deepEqual(
    [
      keyOf('A: b\n\nx', { id: '18c' }),
      keyOf('A: b\r\n\r\nx\r\n', { messageId: ID }),
      keyOf('Received: y\nA: b\n\nx\n'),
      Buffer.from(emailIdKey).toString('hex'),
    ],
    [
      '5b3273bcaafdb24d5e9a98a53e2b5aae',
      'a08611e0517d7cb1e1adb08655c7baa5',
      '091ebbd7462d2446697aceedbe420ad1',
      '37d62d4d4e6dd05ebc4b2bc247e39edc',
    ],
  );
});

describe('with a Message-ID', () => {
  const same: [string, string, string][] = [
    ['other headers', 'Received: a\r\nSubject: x\r\n\r\nbody\r\n', 'Subject: y\r\n\r\nbody\r\n'],
    ['other line ends', 'A: b\r\n\r\none\r\ntwo\r\n', 'A: b\n\none\ntwo\n'],
    ['line ends of old Macs in the body', 'A: b\r\n\r\none\r\ntwo', 'A: b\r\n\r\none\rtwo'],
    ['blank lines at the end', 'A: b\r\n\r\none', 'A: b\r\n\r\none\r\n\r\n\r\n'],
    ['no body and a blank one', 'A: b\r\n', 'A: b\r\n\r\n\r\n'],
    [
      'a long body with other line ends',
      `A: b\n\n${'x'.repeat(99)}\n`.concat('y\n'.repeat(50_000)),
      `A: b\r\n\r\n${'x'.repeat(99)}\r\n`.concat('y\r\n'.repeat(50_000)),
    ],
  ];
  for (const [what, one, other] of same)
    test(`is the same mail with ${what}`, () =>
      assert.equal(keyOf(one, { messageId: ID }), keyOf(other, { messageId: ID })));

  const different: [string, string, string][] = [
    ['another body', 'A: b\n\none', 'A: b\n\ntwo'],
    ['a blank line more inside', 'A: b\n\none\ntwo', 'A: b\n\none\n\ntwo'],
    ['an indent more', 'A: b\n\none', 'A: b\n\n one'],
  ];
  for (const [what, one, other] of different)
    test(`is another mail with ${what}`, () =>
      assert.notEqual(keyOf(one, { messageId: ID }), keyOf(other, { messageId: ID })));

  test('is another mail with another Message-ID', () => {
    assert.notEqual(
      keyOf('A: b\n\nx', { messageId: ID }),
      keyOf('A: b\n\nx', { messageId: '<2@example.com>' }),
    );
  });
});

describe('without a Message-ID', () => {
  const mail = 'From: a@example.com\nSubject: x\n\nbody\n';
  const same: [string, string][] = [
    ['what each hop adds', `Received: from a\n\tby b; today\n${mail}`],
    [
      'what the last hop adds',
      `Return-Path: <a@example.com>\nDelivered-To: b@example.org\nAuthentication-Results: x\n${mail}`,
    ],
    ['what forwarders add', `ARC-Seal: i=1\nARC-Message-Signature: i=1;\n b=x\nDKIM-Signature: v=1\n${mail}`],
    ['what filters add', `X-Spam-Status: No\nX-Gm-Message-State: x\n${mail}`],
    ['what stores add', `Status: RO\nX-UID: 7\nX-Mozilla-Keys: \nContent-Length: 5\n${mail}`],
    [
      'what Exchange adds',
      `X-MS-Exchange-Organization-SCL: 1\nX-MS-Exchange-AntiSpam-MessageData-0: a\nx-ms-exchange-crosstenant-id: a\n b\nX-Forefront-Antispam-Report: CIP:255.255.255.255;\n${mail}`,
    ],
    [
      'what Microsoft 365 adds',
      `X-Microsoft-Antispam: BCL:0;\nX-EOPAttributedMessage: 0\nX-MS-PublicTrafficType: Email\n${mail}`,
    ],
    ['what Yahoo adds', `X-Apparently-To: a@example.com\nX-YMailISG: aBc\nX-YMail-OSG: d\n${mail}`],
    [
      'what Zoho, Fastmail and iCloud add',
      `X-ZohoMail-DKIM: pass\nX-ME-Sender: <xms:a>\nX-Apple-Movetofolder: x\n${mail}`,
    ],
    [
      'what a forwarder of Gmail adds',
      `X-Forwarded-To: b@example.com\nX-Forwarded-For: a@example.com\n${mail}`,
    ],
    ['what Rspamd adds', `X-Rspamd-Queue-Id: 1\nX-Rspamd-Server: a\nX-Spamd-Result: default: False\n${mail}`],
    ['what other filters add', `X-Virus-Scanned: a\nX-IronPort-AV: E=\nX-Barracuda-Spam-Score: 0\n${mail}`],
    ['the line of an mbox before it', `From a@example.com Mon Jan  1 10:00:00 2024\n${mail}`],
    ['a byte order mark before it', `\ufeff${mail}`],
    ['a byte order mark before a trace header', `\ufeffReceived: from a\n${mail}`],
    ['both before it', `\ufeffFrom a@example.com Mon Jan  1 10:00:00 2024\n${mail}`],
    ['trace headers in other cases and with blanks', `RECEIVED : from a\n${mail}`],
    ['other line ends', mail.replaceAll('\n', '\r\n')],
    ['a blank line at the end', `${mail}\n`],
  ];
  for (const [what, copy] of same)
    test(`is the same mail with ${what}`, () => assert.equal(keyOf(copy), keyOf(mail)));

  const different: [string, string][] = [
    ['another subject', mail.replace('x', 'y')],
    ['another body', mail.replace('body', 'other')],
    ['a header more', `X-Ticket: 1\n${mail}`],
    ['a header whose name begins like one of the trace', `Receivedby: a\n${mail}`],
    ['a From with a blank before its colon for the line of an mbox', mail.replace('From: a', 'From : b')],
    ['the header in the body', mail.replace('Subject: x\n', '').replace('body', 'Subject: x\nbody')],
  ];
  for (const [what, other] of different)
    test(`is another mail with ${what}`, () => assert.notEqual(keyOf(other), keyOf(mail)));

  test('takes what is no mail at all', () => {
    assert.notEqual(keyOf(''), keyOf('\0'));
    assert.match(keyOf('\r'.repeat(300_000)), /^[0-9a-f]{32}$/);
  });
});

test('takes 25 MB in well under a second', () => {
  const mail = Buffer.from(`A: b\r\n\r\n${`${'x'.repeat(76)}\r\n`.repeat(330_000)}`);
  const startedMs = threadCpuMs();
  dedupeKeyOf(rawMail(mail), { messageId: ID });
  assert.ok(threadCpuMs() - startedMs < 1_500);
});

test('the key of a mail whose lines end in CR alone is what it was before its headers were read', () => {
  assert.equal(
    keyOf('A: b\rMessage-ID: <1@example.com>\r\rx', { messageId: ID }),
    keyOf('A: b\rMessage-ID: <1@example.com>\r\rx'),
  );
});
