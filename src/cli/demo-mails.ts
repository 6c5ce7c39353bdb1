/** What the demo posts: one of each kind of mail that programs trip over. */
export type DemoMail = {
  /** What a person reads beside it. */
  title: string;
  /** As the script posts it; two with one id are one mail. */
  item: Record<string, unknown>;
};

/** A dozen mails, ids made unique by `run`, so that the demo can run again. */
export function createDemoMails(run: string): DemoMail[] {
  let n = 0;
  const nextId = () => `${run}${(++n).toString(16).padStart(2, '0')}`;
  const mail = (title: string, raw: string | Buffer, labels = ['INBOX']): DemoMail => ({
    title,
    item: {
      id: nextId(),
      labelIds: labels,
      internalDate: '1795168800000',
      raw: Buffer.from(raw).toString('base64url'),
    },
  });

  const plain = mail(
    'a plain mail',
    lines('Subject: Lunch on Friday?', ...TEXT, 'At noon, the usual place.'),
  );
  const long = lines(
    'Subject: A long report',
    'Content-Type: text/plain; charset=utf-8',
    '',
    'Line by line. '.repeat(2000),
  );
  const cutId = nextId();
  return [
    plain,
    mail('a newsletter', NEWSLETTER, ['INBOX', 'CATEGORY_PROMOTIONS']),
    mail('with an attachment', INVOICE),
    mail('Japanese, in iso-2022-jp', Buffer.concat([Buffer.from(JAPANESE_HEAD), JAPANESE_BODY])),
    mail('a calendar invite', INVITE),
    mail('a bounce', BOUNCE),
    mail(
      'filtered as spam',
      lines(
        'Subject: =?utf-8?q?You_won_=E2=82=AC_1.000.000?=',
        'X-Spam-Status: Yes, score=9.1 required=5.0 tests=LOTTERY autolearn=no version=4.0.1',
        ...TEXT,
        'Click now.',
      ),
      ['SPAM'],
    ),
    { title: 'the first one again', item: plain.item },
    mail(
      'broken MIME',
      lines('Subject: No end', 'Content-Type: multipart/mixed; boundary="x"', '', 'no part at all'),
    ),
    mail('a zero byte in its subject', lines('Subject: zero \0 byte', ...TEXT, 'Kept, the byte replaced.')),
    { title: 'no mail at all', item: { id: nextId(), raw: '*** not base64 ***' } },
    {
      title: 'too long: its headers alone',
      item: {
        id: cutId,
        truncated: true,
        headers: lines('Subject: A long report'),
        snippet: 'Line by line.',
        labelIds: ['INBOX'],
      },
    },
    {
      title: 'the same, whole',
      item: { id: cutId, labelIds: ['INBOX'], raw: Buffer.from(long).toString('base64url') },
    },
  ];
}

const TEXT = ['Content-Type: text/plain; charset=utf-8', ''];

function lines(...rest: string[]): string {
  return [
    'From: Ada Example <ada@example.com>',
    'To: demo@mailgress.test',
    'MIME-Version: 1.0',
    ...rest,
    '',
  ].join('\r\n');
}

const NEWSLETTER = lines(
  'Subject: =?utf-8?b?VGhlIGxldHRlciBvZiB0aGUgd2Vlaw==?=',
  'List-Id: News <news.example.com>',
  'List-Unsubscribe: <https://news.example.com/u>',
  'Content-Type: multipart/alternative; boundary="b"',
  '',
  '--b',
  'Content-Type: text/plain; charset=utf-8',
  'Content-Transfer-Encoding: quoted-printable',
  '',
  'Caf=C3=A9 of the week, and more.',
  '--b',
  'Content-Type: text/html; charset=utf-8',
  '',
  '<h1>Café of the week</h1><p>And more.</p>',
  '--b--',
);

const INVOICE = lines(
  'Subject: Your invoice 2026-117',
  'Content-Type: multipart/mixed; boundary="b"',
  '',
  '--b',
  'Content-Type: text/plain',
  '',
  'Attached.',
  '--b',
  "Content-Type: application/pdf; name*=utf-8''Rechnung%20%E2%82%AC.pdf",
  'Content-Disposition: attachment',
  'Content-Transfer-Encoding: base64',
  '',
  Buffer.from('%PDF-1.4 an invoice').toString('base64'),
  '--b--',
);

const JAPANESE_HEAD = [
  'From: =?ISO-2022-JP?B?GyRCO1NFRBsoQg==?= <yamada@example.com>',
  'To: demo@mailgress.test',
  'Subject: =?ISO-2022-JP?B?GyRCJDMkcyRLJEEkTxsoQg==?=',
  'MIME-Version: 1.0',
  'Content-Type: text/plain; charset=iso-2022-jp',
  '',
  '',
].join('\r\n');
/** "こんにちは" between its escapes. */
const JAPANESE_BODY = Buffer.from('\x1b$B$3$s$K$A$O\x1b(B\r\n', 'latin1');

const INVITE = lines(
  'Subject: Invitation: Planning',
  'Content-Type: text/calendar; method=REQUEST; charset=utf-8',
  '',
  'BEGIN:VCALENDAR',
  'METHOD:REQUEST',
  'BEGIN:VEVENT',
  'UID:planning-1@example.com',
  'DTSTART:20261127T090000Z',
  'SUMMARY:Planning',
  'END:VEVENT',
  'END:VCALENDAR',
);

const BOUNCE = lines(
  'Subject: Undelivered Mail Returned to Sender',
  'Content-Type: multipart/report; report-type=delivery-status; boundary="b"',
  '',
  '--b',
  'Content-Type: text/plain',
  '',
  'Your mail could not be delivered.',
  '--b',
  'Content-Type: message/delivery-status',
  '',
  'Reporting-MTA: dns; mx.example.com',
  '',
  'Final-Recipient: rfc822; nobody@example.org',
  'Action: failed',
  'Status: 5.1.1',
  '--b--',
);
