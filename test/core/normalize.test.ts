import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { EVENT_TEXT_LIMIT_BYTES, type MailContent, mailContentSchema } from '../../src/core/message.ts';
import { normalize } from '../../src/core/normalize.ts';
import type { RawMail } from '../../src/core/raw-mail.ts';
import { threadCpuMs } from '../support/cpu-time.ts';
import { multipart, rawMail } from '../support/raw-mail.ts';

const RECEIVED_AT = new Date('2024-05-06T07:08:09.010Z');
const contentOf = async (mail: string | Uint8Array, known: Partial<RawMail> = {}): Promise<MailContent> =>
  (await normalize(rawMail(mail, known), RECEIVED_AT)).content;

const newsletter = multipart(
  'alternative',
  [
    'Content-Type: text/plain; charset=utf-8\n\nHello Ada,\n\nthis is the news.',
    'Content-Type: text/html; charset=utf-8\n\n<p>Hello <b>Ada</b>',
  ],
  `Received: from a.example.com
\tby b.example.org; Mon, 1 Jan 2024 10:00:01 +0000
From: =?utf-8?Q?Caf=C3=A9?= <news@example.com>
Sender: <bounce@example.com>
Reply-To: reply@example.com
To: Ada <ada@example.org>
Cc: Team: bob@example.org;
Subject: =?utf-8?B?UmU6IOKCrCBuZXdz?=
Date: Mon, 1 Jan 2024 11:00:00 +0100
Message-ID: <2@example.com>
In-Reply-To: <1@example.com>
References: <0@example.com>
 <1@example.com>
X-Twice: one
X-Twice: =?utf-8?Q?two?=
`,
);

test('publishes all that a mail says', async () => {
  const mail = rawMail(newsletter, {
    identity: { base: 'gmail', id: '18c' },
    providerId: '18c',
    threadId: '18b',
    labels: ['INBOX', 'CATEGORY_UPDATES'],
    internalDate: new Date('2024-01-01T10:00:02.003Z'),
    snippet: 'of the provider',
  });
  const { content, fullText, fullHtml } = await normalize(mail, RECEIVED_AT);
  assert.deepEqual(content, {
    providerId: '18c',
    threadId: '18b',
    messageId: '<2@example.com>',
    inReplyTo: '<1@example.com>',
    references: ['<0@example.com>', '<1@example.com>'],
    from: { name: 'Café', address: 'news@example.com' },
    sender: { name: '', address: 'bounce@example.com' },
    replyTo: [{ name: '', address: 'reply@example.com' }],
    to: [{ name: 'Ada', address: 'ada@example.org' }],
    cc: [{ name: '', address: 'bob@example.org' }],
    bcc: [],
    subject: 'Re: € news',
    date: '2024-01-01T10:00:00.000Z',
    receivedAt: '2024-01-01T10:00:02.003Z',
    placement: 'updates',
    labels: ['INBOX', 'CATEGORY_UPDATES'],
    folder: null,
    authentication: { spf: null, dkim: [], dmarc: null, arc: null, server: null, trusted: false },
    spamFilters: [],
    category: { bounce: null, complaint: null, autoReply: false, list: null, calendar: null },
    subjectGroup: '€ news',
    truncated: false,
    text: 'Hello Ada,\n\nthis is the news.\n',
    html: '<p>Hello <b>Ada</b>\n',
    textTruncated: false,
    snippet: 'Hello Ada, this is the news.',
    attachments: [],
    headers: [
      ['Received', 'from a.example.com\tby b.example.org; Mon, 1 Jan 2024 10:00:01 +0000'],
      ['From', '=?utf-8?Q?Caf=C3=A9?= <news@example.com>'],
      ['Sender', '<bounce@example.com>'],
      ['Reply-To', 'reply@example.com'],
      ['To', 'Ada <ada@example.org>'],
      ['Cc', 'Team: bob@example.org;'],
      ['Subject', '=?utf-8?B?UmU6IOKCrCBuZXdz?='],
      ['Date', 'Mon, 1 Jan 2024 11:00:00 +0100'],
      ['Message-ID', '<2@example.com>'],
      ['In-Reply-To', '<1@example.com>'],
      ['References', '<0@example.com> <1@example.com>'],
      ['X-Twice', 'one'],
      ['X-Twice', '=?utf-8?Q?two?='],
      ['MIME-Version', '1.0'],
      ['Content-Type', 'multipart/alternative; boundary=frontier'],
    ],
    sizeBytes: mail.bytes.length,
    sha256: createHash('sha256').update(mail.bytes).digest('hex'),
    parse: 'ok',
  });
  assert.equal(fullText, null);
  assert.equal(fullHtml, null);
});

describe('what is not there', () => {
  const absent: Partial<MailContent> = {
    providerId: null,
    messageId: null,
    inReplyTo: null,
    references: [],
    from: null,
    to: [],
    subject: null,
    subjectGroup: '',
    date: null,
    text: null,
    html: null,
    snippet: '',
    attachments: [],
    parse: 'ok',
  };
  const mails: [string, string | Uint8Array][] = [
    ['a mail of 0 bytes', Buffer.of()],
    ['a mail of one header', 'X: y\n'],
    ['a blank line alone', '\n'],
  ];
  for (const [what, mail] of mails)
    test(`is null or empty in ${what}`, async () =>
      assert.partialDeepStrictEqual(await contentOf(mail), absent));

  test('is taken from Mailgress only for the time it came', async () => {
    assert.equal((await contentOf('')).receivedAt, '2024-05-06T07:08:09.010Z');
  });

  test('an empty subject is there', async () => assert.equal((await contentOf('Subject:\n\n')).subject, ''));
});

describe('text and html', () => {
  const table: [string, string, string | null, string | null, string][] = [
    ['of a plain mail', 'Subject: x\n\nHello', 'Hello\n', null, 'Hello'],
    ['of a mail in html alone', 'Content-Type: text/html\n\n<p>Hello', null, '<p>Hello\n', 'Hello'],
    [
      'in iso-2022-jp',
      'Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B;3ED\x1b(B',
      '山田\n',
      null,
      '山田',
    ],
    ['in base64', 'Content-Transfer-Encoding: base64\n\nw6k=', 'é', null, 'é'],
    [
      'in quoted-printable',
      'Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9=\nb',
      'éb\n',
      null,
      'éb',
    ],
    ['in a charset nobody knows', 'Content-Type: text/plain; charset=klingon\n\nok', 'ok\n', null, 'ok'],
  ];
  for (const [what, mail, text, html, snippet] of table)
    test(`are read ${what}`, async () =>
      assert.partialDeepStrictEqual(await contentOf(mail), { text, html, snippet, parse: 'ok' }));

  test('are cut in events between characters, and handed over whole beside', async () => {
    // 3 bytes a character: the limit falls inside one.
    const euros = '€'.repeat(EVENT_TEXT_LIMIT_BYTES / 3 + 10);
    const mail = multipart('alternative', [
      `Content-Type: text/plain; charset=utf-8\n\n${euros}`,
      'Content-Type: text/html\n\n<p>short',
    ]);
    const { content, fullText, fullHtml } = await normalize(rawMail(mail), RECEIVED_AT);
    assert.equal(content.text, '€'.repeat(Math.floor(EVENT_TEXT_LIMIT_BYTES / 3)));
    assert.equal(content.textTruncated, true);
    assert.equal(content.snippet, '€'.repeat(200));
    assert.equal(fullText, `${euros}\n`);
    assert.equal(fullHtml, null);
  });

  test('are cut after U+0000 was replaced, which makes them longer', async () => {
    const { content, fullHtml } = await normalize(
      rawMail(`Content-Type: text/html\n\n${'\0'.repeat(100_000)}`),
      RECEIVED_AT,
    );
    assert.equal(content.html, '\ufffd'.repeat(Math.floor(EVENT_TEXT_LIMIT_BYTES / 3)));
    assert.equal(fullHtml, `${'\ufffd'.repeat(100_000)}\n`);
    assert.equal(content.parse, 'partial');
  });
});

describe('a truncated mail', () => {
  const known = { truncated: true, snippet: 'First words' };
  const bare = {
    text: null,
    html: null,
    attachments: [],
    snippet: 'First words',
    truncated: true,
    parse: 'ok',
  };
  for (const headers of [
    'Subject: x',
    'Subject: x\n\n',
    'Subject: x\nContent-Type: application/pdf; name=a.pdf\n\n',
    'Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n',
    'Subject: x\n\na body that should not be here',
  ])
    test(`has headers and no body: ${JSON.stringify(headers)}`, async () =>
      assert.partialDeepStrictEqual(await contentOf(headers, known), { ...bare, subject: 'x' }));

  test('has an empty snippet where the provider gave none', async () => {
    assert.equal((await contentOf('Subject: x\n\n', { truncated: true })).snippet, '');
  });
});

describe('parse is partial', () => {
  const mails: [string, string | Uint8Array, Partial<RawMail>, Partial<MailContent>][] = [
    ['for U+0000 in a subject', 'Subject: a\0b\n\n', {}, { subject: 'a\ufffdb' }],
    ['for U+0000 in an encoded word', 'Subject: =?utf-8?Q?a=00b?=\n\n', {}, { subject: 'a\ufffdb' }],
    [
      'for U+0000 in a name',
      'To: =?utf-8?Q?a=00?= <a@example.com>\n\n',
      {},
      { to: [{ name: 'a\ufffd', address: 'a@example.com' }] },
    ],
    ['for U+0000 in a header nobody reads', 'X-A\0: b\0\n\n', {}, { headers: [['X-A\ufffd', 'b\ufffd']] }],
    ['for U+0000 in a text', 'A: b\n\na\0b', {}, { text: 'a\ufffdb\n' }],
    [
      'for a surrogate alone in what the source knows',
      'A: b\n\n',
      { labels: ['\ud800'], folder: '\udfff', threadId: '\0' },
      { labels: ['\ufffd'], folder: '\ufffd', threadId: '\ufffd' },
    ],
    ['for a surrogate alone in a preview', 'A: b\n\n', { snippet: 'a\ud83d' }, { snippet: 'a\ufffd' }],
    ['for a date that is none', 'Date: yesterday\n\n', {}, { date: null }],
    ['for a date beyond year 9999', 'Date: Fri, 31 Dec 9999 23:30:00 -0100\n\n', {}, { date: null }],
    [
      'for a provider date beyond year 9999',
      'A: b\n\n',
      { internalDate: new Date(8.64e15) },
      { receivedAt: RECEIVED_AT.toISOString() },
    ],
    [
      'for an invalid provider date',
      'A: b\n\n',
      { internalDate: new Date(Number.NaN) },
      { receivedAt: RECEIVED_AT.toISOString() },
    ],
    ['for a Message-ID without an id', 'Message-ID: none\n\n', {}, { messageId: null }],
    ['for a sender without an address', 'From: nobody\n\n', {}, { from: null }],
    ['for a line that is no header', 'Subject: x\nno header here\n\n', {}, { subject: 'x' }],
    ['for a multipart without its boundary', 'Content-Type: multipart/mixed\n\nHello', {}, { text: null }],
    [
      'for a multipart with another boundary',
      'Content-Type: multipart/mixed; boundary=a\n\n--b\n\nHello',
      {},
      { text: null },
    ],
    [
      'for bytes that are no mail',
      Buffer.from('ffd8ffe000104a46494600010101', 'hex'),
      {},
      { text: null, subject: null },
    ],
  ];
  for (const [claim, mail, known, expected] of mails)
    test(claim, async () =>
      assert.partialDeepStrictEqual(await contentOf(mail, known), { ...expected, parse: 'partial' }),
    );

  test('for U+0000 in a file name', async () => {
    const part = "Content-Disposition: attachment; filename*=utf-8''a%00b\n\nx";
    const content = await contentOf(multipart('mixed', [part]));
    assert.equal(content.attachments[0]?.filename, 'a\ufffdb');
    assert.equal(content.parse, 'partial');
  });

  test('but not for half a pair in UTF-16, which its decoder replaces', async () => {
    const body = Buffer.from([0x00, 0xd8, 0x41, 0x00]).toString('base64');
    const mail = `Content-Type: text/plain; charset=utf-16le\nContent-Transfer-Encoding: base64\n\n${body}`;
    assert.partialDeepStrictEqual(await contentOf(mail), { text: '\ufffdA', parse: 'ok' });
  });
});

describe('parse is failed', () => {
  const nested = (depth: number) =>
    Array.from(
      { length: depth },
      (_, i) => `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n`,
    ).join('');
  const head = 'From: Ada <ada@example.com>\nSubject: x\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n';
  const told = {
    subject: 'x',
    from: { name: 'Ada', address: 'ada@example.com' },
    date: '2024-01-01T10:00:00.000Z',
  };
  const untold = { subject: null, from: null, date: null };
  const mails: [string, string, object][] = [
    ['for parts nested 300 deep', `${head}${nested(300)}`, told],
    ['for parts nested 10,000 deep', `${head}${nested(10_000)}`, told],
    ['for 3 MB of headers', `${head}${'X-A: b\n'.repeat(400_000)}\nbody`, told],
    ['for a header of 3 MB', `${head}X-A: ${'b'.repeat(3_000_000)}\n\nbody`, told],
    ['for a header of 3 MB above the others', `X-A: ${'b'.repeat(3_000_000)}\n${head}\nbody`, untold],
    ['for 3 MB without a line end', 'x'.repeat(3_000_000), untold],
    [
      'for headers of parts, 3 MB together',
      `${head}${multipart('mixed', Array(3_000).fill(`X-A: ${'b'.repeat(1_000)}\n\nx`))}`,
      told,
    ],
    ['for 5 MB of line ends', `${head}\n${'\n'.repeat(2_500_000)}`, told],
  ];
  for (const [claim, mail, expected] of mails)
    test(claim, async () => {
      const raw = rawMail(mail, { snippet: 'First words' });
      const startedMs = threadCpuMs();
      const { content, fullText, fullHtml } = await normalize(raw, RECEIVED_AT);
      assert.ok(threadCpuMs() - startedMs < 3_000, 'took too long');
      assert.partialDeepStrictEqual(content, { ...expected, parse: 'failed', snippet: 'First words' });
      assert.deepEqual(
        [content.text, content.html, content.attachments, fullText, fullHtml],
        [null, null, [], null, null],
      );
      assert.equal(content.sizeBytes, raw.bytes.length);
      assert.equal(content.sha256, createHash('sha256').update(raw.bytes).digest('hex'));
      mailContentSchema.parse(content);
    });
});

test('keeps the root and the nearest of many references', async () => {
  const ids = Array.from({ length: 500 }, (_, i) => `<${i}@example.com>`);
  const { references } = await contentOf(`References: ${ids.join('\n ')}\n\n`);
  assert.deepEqual(references, [ids[0], ...ids.slice(401)]);
});

test('reads a mail that is a view into a larger buffer', async () => {
  const bytes = Buffer.from('garbageSubject: x\n\nHellogarbage').subarray(7, -7);
  assert.partialDeepStrictEqual(await contentOf(bytes), {
    subject: 'x',
    text: 'Hello\n',
    sizeBytes: bytes.length,
  });
});

test('leaves what it was given as it was', async () => {
  const mail = rawMail('Subject: a\0\n\nb\0', { labels: Object.freeze(['\0']) });
  const before = Buffer.from(mail.bytes);
  await normalize(mail, RECEIVED_AT);
  assert.deepEqual(Buffer.from(mail.bytes), before);
  assert.deepEqual(mail.labels, ['\0']);
});

describe('authentication', () => {
  const entry =
    'Received: from mail.example.com ([192.0.2.7]) by mx.google.com; Mon, 1 Jan 2024 10:00:00 +0000\n';
  const mail = `Authentication-Results: mx.google.com; spf=pass\n${entry}Subject: x\n\nbody`;

  test('is trusted of Gmail for a mail with a Gmail id', async () => {
    const { authentication } = await contentOf(mail, { identity: { base: 'gmail', id: '18c' } });
    assert.partialDeepStrictEqual(authentication, { spf: 'pass', server: 'mx.google.com', trusted: true });
  });

  test('is not trusted of a receiver that nobody told', async () => {
    assert.partialDeepStrictEqual((await contentOf(mail)).authentication, { spf: 'pass', trusted: false });
  });

  test('is trusted of a server that the mailbox names', async () => {
    const receiver = { provider: null, servers: ['mx.google.com'] };
    const { content } = await normalize(rawMail(mail), RECEIVED_AT, receiver);
    assert.equal(content.authentication.trusted, true);
  });
});
