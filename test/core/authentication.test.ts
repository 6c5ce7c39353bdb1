import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readAuthentication } from '../../src/core/authentication.ts';
import type { MailContent } from '../../src/core/message.ts';
import type { Receiver } from '../../src/core/receiver.ts';
import { threadCpuMs } from '../support/cpu-time.ts';

type Authentication = MailContent['authentication'];

/** The headers of a block, unfolded as the parser does it. */
function headersOf(block: string): { key: string; originalKey: string; value: string }[] {
  return block
    .trim()
    .replace(/\n[ \t]+/g, ' ')
    .split('\n')
    .map((line) => {
      const colon = line.indexOf(':');
      const originalKey = line.slice(0, colon);
      return { key: originalKey.toLowerCase(), originalKey, value: line.slice(colon + 1).trim() };
    });
}

const by = (provider: Receiver['provider'], servers: readonly string[] = []): Receiver => ({
  provider,
  servers,
});
const read = (block: string, receiver: Receiver): Authentication =>
  readAuthentication(headersOf(block), receiver);

const NOTHING = { spf: null, dkim: [], dmarc: null, arc: null, server: null, trusted: false };
const PASSED = { spf: 'pass', dkim: [{ domain: 'example.com', result: 'pass' }], dmarc: 'pass', arc: null };

const AUTHOR = 'DKIM-Signature: v=1; d=example.com\nFrom: a@example.com\nSubject: x\n';
const FORGED =
  'Authentication-Results: mx.google.com; dkim=pass header.d=bank.example; spf=pass; dmarc=pass header.from=bank.example\n';

// The layout of Gmail's mails, with reserved names and addresses.
const GMAIL_TOP = `Delivered-To: ada@example.org
Received: by 2002:a05:6402:1234:b0:1:2:3 with SMTP id x1csp1; Fri, 20 Nov 2026 02:00:00 -0800 (PST)
X-Received: by 2002:a17:902:aaaa:b0:1 with SMTP id y1; Fri, 20 Nov 2026 02:00:00 -0800 (PST)
`;
const GMAIL_RESULTS = `mx.google.com;
       dkim=pass header.i=@example.com header.s=s1 header.b=abc;
       spf=pass (google.com: domain of a@example.com designates 192.0.2.7 as permitted sender) smtp.mailfrom=a@example.com;
       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.com
`;
const GMAIL_ARC = `ARC-Seal: i=1; a=rsa-sha256; t=1; cv=none; d=google.com; s=arc; b=x
ARC-Message-Signature: i=1; a=rsa-sha256; d=google.com; s=arc; b=x
ARC-Authentication-Results: i=1; ${GMAIL_RESULTS}`;
const GMAIL_ENTRY = `Return-Path: <a@example.com>
Received: from mail.example.com (mail.example.com. [192.0.2.7])
        by mx.google.com with ESMTPS id z1 for <ada@example.org>
        (version=TLS1_3); Fri, 20 Nov 2026 02:00:00 -0800 (PST)
`;
const GMAIL_SPF = `Received-SPF: pass (google.com: domain of a@example.com designates 192.0.2.7 as permitted sender) client-ip=192.0.2.7;
`;
const GMAIL_AUTH = `Authentication-Results: ${GMAIL_RESULTS}`;
const GMAIL_FAILED = 'Authentication-Results: mx.google.com; spf=fail smtp.mailfrom=bank.example\n';

const MICROSOFT_TOP = `Received: from AS8PR01MB1.eurprd01.prod.exchangelabs.com (2603:10a6:20b:1::1) by
 AM0PR01MB2.eurprd01.prod.outlook.com with HTTPS; Fri, 20 Nov 2026 10:00:03 +0000
Received: from DB7PR01CA1.eurprd01.prod.outlook.com (2603:10a6:10:2::5) by
 AS8PR01MB1.eurprd01.prod.outlook.com (2603:10a6:20b:1::1) with Microsoft SMTP Server; Fri, 20 Nov 2026 10:00:02 +0000
`;
const MICROSOFT_ENTRY = `Received: from mail.example.com (192.0.2.7) by
 DB5EUR01FT1.mail.protection.outlook.com (10.152.4.1) with Microsoft SMTP Server id 15.20.1; Fri, 20 Nov 2026 10:00:01 +0000
`;
const MICROSOFT = `${MICROSOFT_TOP}Authentication-Results: spf=pass (sender IP is 192.0.2.7)
 smtp.mailfrom=example.com; dkim=pass (signature was verified)
 header.d=example.com;dmarc=pass action=none
 header.from=example.com;compauth=pass reason=100
Received-SPF: Pass (protection.outlook.com: domain of example.com designates
 192.0.2.7 as permitted sender) receiver=protection.outlook.com;
 client-ip=192.0.2.7; helo=mail.example.com; pr=C
${MICROSOFT_ENTRY}${AUTHOR}`;

const YAHOO = `Received: from 127.0.0.1
 by atlas101.free.mail.bf1.yahoo.com with HTTPS; Fri, 20 Nov 2026 10:00:02 +0000
Return-Path: <a@example.com>
X-Originating-Ip: [192.0.2.7]
Received-SPF: pass (domain of example.com designates 192.0.2.7 as permitted sender)
Authentication-Results: atlas101.free.mail.bf1.yahoo.com;
 dkim=pass header.i=@example.com header.s=s1;
 spf=pass smtp.mailfrom=example.com;
 dmarc=pass(p=NONE) header.from=example.com;
X-Apparently-To: ada@yahoo.com; Fri, 20 Nov 2026 10:00:02 +0000
Received: from 192.0.2.7 (EHLO mail.example.com)
 by 10.217.136.46 with SMTPs; Fri, 20 Nov 2026 10:00:01 +0000
${AUTHOR}`;

const ICLOUD = `Received: from p00-icloudmta-asmtp-1.me.com by p63-mailgateway-smtp-1 (mailgateway) with SMTP id 1; Fri, 20 Nov 2026 10:00:02 GMT
X-Apple-MoveToFolder: INBOX
Authentication-Results: bimi.icloud.com; bimi=skipped reason="insufficient dmarc"
Authentication-Results: dmarc.icloud.com; dmarc=pass header.from=example.com
Authentication-Results: dkim-verifier.icloud.com;
\tdkim=pass (2048-bit key) header.d=example.com header.i=@example.com header.b=abc
Authentication-Results: spf.icloud.com; spf=pass (spf.icloud.com: domain of a@example.com designates 192.0.2.7 as permitted sender) smtp.mailfrom=a@example.com
Received: from mail.example.com (mail.example.com [192.0.2.7]) by p00-icloudmta-asmtp-1.me.com (Postfix) with ESMTPS id 2; Fri, 20 Nov 2026 10:00:01 GMT
${AUTHOR}`;

const FASTMAIL = `Return-Path: <a@example.com>
Received: from compute1.internal (compute1.nyi.internal [10.202.2.41]) by sloti1d1t01 (Cyrus 3.9) with LMTPA; Fri, 20 Nov 2026 05:00:02 -0500
X-Spam-score: 0.0
Received: from mx3 ([10.202.2.202]) by compute1.internal (LMTPProxy); Fri, 20 Nov 2026 05:00:02 -0500
Received: from mx3.messagingengine.com (localhost [127.0.0.1]) by mx3.messagingengine.com (Authentication Milter) with ESMTP id 1; Fri, 20 Nov 2026 05:00:01 -0500
ARC-Authentication-Results: i=1; mx3.messagingengine.com; x-csa=none; dkim=pass header.d=example.com; spf=pass; dmarc=pass
Authentication-Results: mx3.messagingengine.com; x-csa=none; x-ptr=pass
Authentication-Results: mx3.messagingengine.com; arc=none (no signatures found)
Authentication-Results: mx3.messagingengine.com;
 dkim=pass (2048-bit rsa key sha256) header.d=example.com header.i=@example.com;
 dmarc=pass policy.published-domain-policy=none header.from=example.com; spf=pass smtp.mailfrom=a@example.com
Received: from mail.example.com (mail.example.com [192.0.2.7]) by mx3.messagingengine.com (Postfix) with ESMTPS id 2; Fri, 20 Nov 2026 05:00:00 -0500
${AUTHOR}`;

const ZOHO = `Delivered-To: ada@example.org
Received-SPF: pass (zohomail.eu: domain of example.com designates 192.0.2.7 as permitted sender) client-ip=192.0.2.7; helo=mail.example.com;
Authentication-Results: mx.zohomail.eu;
\tdkim=pass;
\tspf=pass (zohomail.eu: domain of example.com designates 192.0.2.7 as permitted sender)  smtp.mailfrom=a@example.com;
\tdmarc=pass(p=none dis=none)  header.from=example.com
Received: from mail.example.com (mail.example.com [192.0.2.7]) by mx.zohomail.eu
\twith SMTPS id 1; Fri, 20 Nov 2026 11:00:00 +0100 (CET)
${AUTHOR}`;

// A mailbox on its own server: Dovecot's LMTP on top, then Postfix, then what a milter wrote.
const OWN_ENTRY = `Return-Path: <a@example.com>
Received: from mail.example.org
\tby mail.example.org with LMTP id 1; Fri, 20 Nov 2026 11:00:01 +0100
Received: from mail.example.com (mail.example.com [192.0.2.7])
\tby mail.example.org (Postfix) with ESMTPS id 2; Fri, 20 Nov 2026 11:00:00 +0100
`;
const OWN_AUTH =
  'Authentication-Results: mail.example.org; dkim=pass header.d=example.com; spf=pass; dmarc=pass\n';
const OWN_FORGED = 'Authentication-Results: mail.example.org; arc=pass; dkim=pass header.d=bank.example\n';

describe('trusts what the receiver wrote', () => {
  const gmail = `${GMAIL_TOP}${GMAIL_ARC}${GMAIL_ENTRY}${GMAIL_SPF}${GMAIL_AUTH}${AUTHOR}`;
  const own = by(null, ['mail.example.org']);
  const table: [string, string, Receiver, Partial<Authentication>][] = [
    ['Gmail', gmail, by('gmail'), { server: 'mx.google.com' }],
    [
      'Gmail before ARC',
      `${GMAIL_TOP}${GMAIL_ENTRY}${GMAIL_SPF}${GMAIL_AUTH}${AUTHOR}`,
      by('gmail'),
      { server: 'mx.google.com' },
    ],
    ['Exchange Online', MICROSOFT, by('microsoft'), { server: 'mx.microsoft.com' }],
    ['Yahoo', YAHOO, by('yahoo'), { server: 'atlas101.free.mail.bf1.yahoo.com' }],
    ['iCloud, of several headers', ICLOUD, by('icloud'), { server: 'dmarc.icloud.com' }],
    [
      'Fastmail, of several headers',
      FASTMAIL,
      by('fastmail'),
      { server: 'mx3.messagingengine.com', arc: 'none' },
    ],
    [
      'Fastmail, its hosts by names of the inside',
      FASTMAIL.replaceAll('by mx3.messagingengine.com', 'by mailmx.phl.internal'),
      by('fastmail'),
      { server: 'mx3.messagingengine.com', arc: 'none' },
    ],
    [
      'Zoho, which names no domain',
      ZOHO,
      by('zoho'),
      { server: 'mx.zohomail.eu', dkim: [{ domain: '', result: 'pass' }] },
    ],
    ['an own server, of its filter', `${OWN_ENTRY}${OWN_AUTH}${AUTHOR}`, own, { server: 'mail.example.org' }],
    [
      'an own server in upper case',
      `${OWN_ENTRY}${OWN_AUTH}${AUTHOR}`,
      by(null, ['Mail.Example.ORG']),
      { server: 'mail.example.org' },
    ],
    ['an own server, on top', `${OWN_AUTH}${OWN_ENTRY}${AUTHOR}`, own, { server: 'mail.example.org' }],
    ...[
      'mail.example.org (mail.example.org [::ffff:192.168.1.5])',
      'mail.example.org ([IPv6:fe80::1%eth0])',
      'mail.example.org ([unix socket])',
      'localhost (localhost [127.0.0.1]:10024)',
    ].map((from): [string, string, Receiver, Partial<Authentication>] => [
      `an own server that passed it on from ${from}`,
      `Received: from ${from} by mail.example.org; now\n${OWN_AUTH}${OWN_ENTRY}${AUTHOR}`,
      own,
      { server: 'mail.example.org' },
    ]),
  ];
  for (const [what, block, receiver, expected] of table)
    test(what, () => assert.deepEqual(read(block, receiver), { ...PASSED, ...expected, trusted: true }));
});

describe('does not trust what a sender can write', () => {
  const gmailEntry = `${GMAIL_TOP}${GMAIL_ENTRY}`;
  const own = by(null, ['mail.example.org']);
  const forgedHop = GMAIL_ENTRY.replaceAll('192.0.2.7', '203.0.113.9');
  const absent: [string, string, Receiver][] = [
    ["below the author's headers", `${gmailEntry}${GMAIL_SPF}${AUTHOR}${FORGED}`, by('gmail')],
    ["as the first header, without Gmail's own", `${gmailEntry}${FORGED}${AUTHOR}`, by('gmail')],
    [
      'with a Received-SPF of another name',
      `${gmailEntry}Received-SPF: pass (mx.evil.example: x)\n${FORGED}${AUTHOR}`,
      by('gmail'),
    ],
    [
      "below a Received of Gmail's that is forged too",
      `${gmailEntry}${AUTHOR}${forgedHop}${GMAIL_SPF}${FORGED}`,
      by('gmail'),
    ],
    [
      "above a Received of Gmail's that is forged too",
      `${gmailEntry}${FORGED}${forgedHop}${AUTHOR}`,
      by('gmail'),
    ],
    [
      'as a seal',
      `${gmailEntry}ARC-Authentication-Results: i=49; mx.google.com; dkim=pass header.d=bank.example\n${AUTHOR}`,
      by('gmail'),
    ],
    [
      'in a mail that another server took in',
      `Received: from evil.example ([203.0.113.9]) by mail.example.net; now\n${forgedHop}${GMAIL_SPF}${FORGED}${AUTHOR}`,
      by('gmail'),
    ],
    [
      "greeting as a host of the receiver's",
      `${MICROSOFT_TOP}${MICROSOFT_ENTRY.replace('from mail.example.com', 'from a.prod.outlook.com')}Authentication-Results: spf=pass\n${MICROSOFT_ENTRY}${AUTHOR}`,
      by('microsoft'),
    ],
    [
      'below the entry of Exchange Online',
      `${MICROSOFT_TOP}${MICROSOFT_ENTRY}Authentication-Results: spf=pass (sender IP is 192.0.2.7)\n${AUTHOR}`,
      by('microsoft'),
    ],
    [
      'in the name of an own server, further down',
      `${OWN_ENTRY}${AUTHOR}${OWN_FORGED}`,
      by(null, ['mail.example.org']),
    ],
    [
      'in the name of a host below that of an own server',
      `${OWN_ENTRY}${OWN_AUTH.replace(': mail', ': q.mail')}${AUTHOR}`,
      own,
    ],
    [
      'in the name of a host of the domain that is named',
      `${OWN_AUTH}${OWN_ENTRY}${AUTHOR}`,
      by(null, ['Example.org']),
    ],
    ['as Received-SPF to an own server', `${OWN_ENTRY}Received-SPF: pass\n${FORGED}${AUTHOR}`, own],
    [
      'as Received-SPF in the name of an own server',
      `${OWN_ENTRY}Received-SPF: pass receiver=mail.example.org\n${FORGED}${AUTHOR}`,
      own,
    ],
    ...['172.17.0.1', '192.168.1.5'].map((address): [string, string, Receiver] => [
      `as a seal and Received-SPF to an own server that takes it in from ${address}`,
      `${OWN_ENTRY.replace('192.0.2.7', address)}ARC-${OWN_AUTH.replace(': ', ': i=1; ')}Received-SPF: pass\n${AUTHOR}`,
      own,
    ]),
    ['in the name of another server', `${OWN_ENTRY}${OWN_AUTH}${AUTHOR}`, by(null, ['mail.example.net'])],
    // A copy of another mailbox's mail, or what a program put there: the provider took none of it in.
    ['on top of a mail without any Received', `${GMAIL_AUTH}${AUTHOR}`, by('gmail')],
    [
      'on top of a mail that only other hosts passed on',
      `${GMAIL_AUTH}Received: by mx3 with LMTP; now\n${AUTHOR}`,
      by('gmail'),
    ],
    ['to an own server that put no Received on it', `${OWN_AUTH}${AUTHOR}`, own],
    ...['mx3', 'mail.local', '192.168.1.5'].map((host): [string, string, Receiver] => [
      `below the Received of ${host}, as Gmail does`,
      `Received: by mx.google.com; now\nReceived: from evil.example ([203.0.113.9]) by ${host}; now\n${GMAIL_SPF}${FORGED}${AUTHOR}`,
      by('gmail'),
    ]),
    // Below a Received that must be seen to be the entry, and above one that the sender wrote.
    ...(
      [
        ['an IPv4 address mapped to IPv6', 'from localhost ([::ffff:203.0.113.7])'],
        ['a mapped address with its mark', 'from localhost ([IPv6:::ffff:203.0.113.7])'],
        ['a mapped address in hexadecimal', 'from localhost ([::ffff:cb00:7107])'],
        ['a mapped address in parentheses', 'from localhost (::ffff:203.0.113.7)'],
        ['what cannot be read in brackets', 'from localhost ([203.0.113.7.])'],
        ['an address behind the name of a user', 'from localhost (HELO localhost) (root@203.0.113.7)'],
        ['a greeting with " by "', 'from localhost by x (evil.example [203.0.113.7])'],
        ['a greeting with " by " and no address', 'from localhost by x (evil.example)'],
        ['a greeting longer than what is read', `from localhost ${'x'.repeat(1_000)} ([203.0.113.7])`],
      ] as const
    ).map(([what, from]): [string, string, Receiver] => [
      `from ${what}`,
      `Received: by mx.google.com; now\nReceived: ${from} by mx.google.com; now\n${FORGED}${forgedHop}${AUTHOR}`,
      by('gmail'),
    ]),
    ['to a receiver that is not known', `${GMAIL_AUTH}${GMAIL_ENTRY}${AUTHOR}`, by(null)],
    [
      'to another provider than it names',
      `${FORGED}${MICROSOFT_TOP}${MICROSOFT_ENTRY}${AUTHOR}`,
      by('microsoft'),
    ],
  ];
  for (const [what, block, receiver] of absent)
    test(what, () => assert.equal(read(block, receiver).trusted, false));

  const truth = { ...NOTHING, spf: 'fail', server: 'mx.google.com', trusted: true };
  const present: [string, string][] = [
    ['right below it', `${gmailEntry}${GMAIL_SPF}${GMAIL_FAILED}${FORGED}${AUTHOR}`],
    ['at the end', `${gmailEntry}${GMAIL_SPF}${GMAIL_FAILED}${AUTHOR}${FORGED}`],
    [
      'and below a seal',
      `${GMAIL_TOP}ARC-${GMAIL_FAILED.replace(': ', ': i=1; ')}${GMAIL_ENTRY}${FORGED}${AUTHOR}`,
    ],
  ];
  for (const [what, block] of present)
    test(`beside the true one: ${what}`, () => assert.deepEqual(read(block, by('gmail')), truth));

  for (const forged of ['', '; receiver=mail.example.org'])
    test(`as Received-SPF beside what an own server says${forged}`, () => {
      const failed = 'Authentication-Results: mail.example.org; dkim=none; dmarc=fail\n';
      const spf = `Received-SPF: pass${forged}\n`;
      const expected = { ...NOTHING, dmarc: 'fail', server: 'mail.example.org', trusted: true };
      assert.deepEqual(read(`${failed}${OWN_ENTRY}${spf}${AUTHOR}`, own), expected);
      assert.deepEqual(read(`${OWN_ENTRY}${spf}${failed}${AUTHOR}`, own), expected);
    });

  test('of another customer of Exchange Online, below its own', () => {
    const failed = 'Authentication-Results: dkim=none; dmarc=fail\n';
    const forged = `Authentication-Results: spf=pass; arc=pass\nARC-${FORGED.replace(': mx.google', ': i=9; mx.microsoft')}Received-SPF: Pass\n`;
    const expected = { ...NOTHING, dmarc: 'fail', server: 'mx.microsoft.com', trusted: true };
    const mail = (hop: string) => `${failed}${hop}${forged}${MICROSOFT_ENTRY}${AUTHOR}`;
    assert.deepEqual(read(mail(MICROSOFT_TOP), by('microsoft')), expected);
    assert.deepEqual(
      read(mail('Received: from a.outlook.com (10.1.1.1) by b.outlook.com\n'), by('microsoft')),
      expected,
    );
  });

  test('of another customer of Exchange Online, below where a program put the mail in', () => {
    const forged = 'Authentication-Results: dkim=pass header.d=bank.example; dmarc=pass\n';
    const host = 'E.eurprd02.prod.outlook.com';
    const submission = `Received: from ${host} ([fe80::1]) by ${host} ([fe80::1%5]) with mapi id 15.20; Fri\n`;
    const mail = (results: string) =>
      `Received: from ${host} (2603:10a6:20b:1::1) by A.eurprd01.prod.outlook.com with HTTPS; Fri\n${results}${submission}${forged}${AUTHOR}`;
    assert.equal(read(mail(''), by('microsoft')).trusted, false);
    const own = 'Authentication-Results: dkim=none; dmarc=none\n';
    const expected = { ...NOTHING, dmarc: 'none', server: 'mx.microsoft.com', trusted: true };
    assert.deepEqual(read(mail(own), by('microsoft')), expected);
  });

  test('in the name of an own server, right below its own', () => {
    const { dkim, arc, trusted } = read(`${OWN_ENTRY}${OWN_AUTH}${OWN_FORGED}${AUTHOR}`, own);
    assert.deepEqual({ dkim, arc, trusted }, { dkim: PASSED.dkim, arc: null, trusted: true });
  });
});

describe('without trust', () => {
  const table: [string, string, Partial<Authentication>][] = [
    [
      'tells what the topmost says',
      `${OWN_AUTH}${FORGED}${AUTHOR}`,
      { ...PASSED, server: 'mail.example.org' },
    ],
    ['tells what the topmost of Exchange says', MICROSOFT, { ...PASSED, server: null }],
    [
      'puts together what one server wrote in a row',
      FASTMAIL,
      { ...PASSED, arc: 'none', server: 'mx3.messagingengine.com' },
    ],
    [
      'skips what says nothing of these methods',
      `Authentication-Results: a.org; auth=pass\n${OWN_AUTH}`,
      { ...PASSED, server: 'mail.example.org' },
    ],
    [
      'takes a seal if there is nothing else',
      'ARC-Authentication-Results: i=1; a.org; spf=fail\nARC-Authentication-Results: i=2; b.org; spf=pass',
      { spf: 'pass', server: 'b.org' },
    ],
    [
      'takes Received-SPF if there is nothing else',
      'Received-SPF: SoftFail (mx.a.org: domain of x) receiver=b.org; client-ip=192.0.2.7',
      { spf: 'softfail', server: 'b.org' },
    ],
    [
      'takes the name in the comment of Received-SPF',
      'Received-SPF: neutral (mx.a.org: domain of x) client-ip=192.0.2.7',
      { spf: 'neutral', server: 'mx.a.org' },
    ],
    ['has nothing of none', 'Authentication-Results: example.org 1; none', {}],
    ['has nothing without a header', AUTHOR, {}],
  ];
  for (const [claim, block, expected] of table)
    test(claim, () => assert.deepEqual(read(block, by(null)), { ...NOTHING, ...expected }));
});

describe('results', () => {
  const table: [string, string, Partial<Authentication>][] = [
    [
      'of every signature',
      'dkim=pass header.d=Example.COM; dkim=fail (bad) header.d=esp.example; dkim=temperror header.i=ada@sub.example.com',
      {
        dkim: [
          { domain: 'example.com', result: 'pass' },
          { domain: 'esp.example', result: 'fail' },
          { domain: 'sub.example.com', result: 'temperror' },
        ],
      },
    ],
    [
      'of a mail that is not signed',
      'dkim=none (message not signed) header.d=none; dmarc=none',
      { dmarc: 'none' },
    ],
    ['in lower case', 'SPF=SoftFail; DMARC=Fail; ARC=Pass', { spf: 'softfail', dmarc: 'fail', arc: 'pass' }],
    [
      'of a word that is not registered',
      'dmarc=bestguesspass; dkim=unknown; spf=hardpass; arc=fail',
      { arc: 'fail' },
    ],
    [
      'of methods that only begin alike',
      'dkim-atps=pass; spfx=pass; x-dmarc=pass; dmarc=fail',
      { dmarc: 'fail' },
    ],
    ['of a method with a version', 'spf/1=pass', { spf: 'pass' }],
  ];
  for (const [what, results, expected] of table)
    test(what, () => {
      const { server, trusted, ...rest } = read(`Authentication-Results: a.org; ${results}`, by(null));
      assert.deepEqual({ ...rest, server: null, trusted: false }, { ...NOTHING, ...expected });
      assert.equal(server, 'a.org');
      assert.equal(trusted, false);
    });
});

describe('hostile headers of 500 kB take no time', () => {
  const many = (line: string) => `${line}\n`.repeat(500_000 / (line.length + 1));
  const table: [string, string][] = [
    ['one long Authentication-Results', `Authentication-Results: mx.google.com; ${'a=b;'.repeat(125_000)}`],
    ['many short ones', many('Authentication-Results: x')],
    ['many full of semicolons', many(`Authentication-Results: ${';'.repeat(10_000)}`)],
    [
      'many of many signatures',
      many(`Authentication-Results: a.org; ${'dkim=pass header.d=x;'.repeat(400)}`),
    ],
    ['many seals', many(`ARC-Authentication-Results: i=1; ${'('.repeat(10_000)}`)],
    ['many Received of blanks', many(`Received: from${' '.repeat(990)}`)],
    ['many Received of brackets', many(`Received: from ${'['.repeat(500)} by x`)],
    ['many Received-SPF', many(`Received-SPF: pass ${' ('.repeat(2_000)}`)],
    ['many names', many('A: b')],
  ];
  for (const [what, block] of table)
    test(what, () => {
      const headers = headersOf(`${block}\nAuthentication-Results: x; spf=pass`);
      const startedMs = threadCpuMs();
      readAuthentication(headers, by('gmail', ['a.example']));
      readAuthentication(headers, by(null));
      assert.ok(threadCpuMs() - startedMs < 100);
    });
});
