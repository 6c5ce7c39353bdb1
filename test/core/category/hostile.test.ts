import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { categoryOf } from '../../../src/core/category/category.ts';
import { mailContentSchema } from '../../../src/core/message.ts';
import { parseMime } from '../../../src/core/mime.ts';
import { normalize } from '../../../src/core/normalize.ts';
import { bytesOf, multipart, rawMail } from '../../support/raw-mail.ts';

const KIB_256 = 256 * 1024;
const fill = (piece: string, length = KIB_256 - 1_000) => piece.repeat(Math.floor(length / piece.length));
const ics = (content: string) =>
  `Content-Type: text/calendar\n\nBEGIN:VCALENDAR\n${content}\nEND:VCALENDAR\n`;
const zone = (observance: string) =>
  ics(
    `BEGIN:VTIMEZONE\nTZID:X\n${observance}END:VTIMEZONE\nBEGIN:VEVENT\nDTSTART;TZID=X:20240101T100000\nEND:VEVENT`,
  );
const OBSERVANCE = 'BEGIN:STANDARD\nDTSTART:00010101T000000\nTZOFFSETFROM:+0000\nTZOFFSETTO:+0100\n';
const report = (fields: string) =>
  multipart('report; report-type=delivery-status', [
    `Content-Type: message/delivery-status\n\n${fields}`,
    `Content-Type: message/rfc822\n\n${fields}`,
  ]);
const system = (text: string) => `Return-Path: <>\nSubject: Undeliverable: x\n\n${text}`;

describe('is read within a second', () => {
  const mails: [string, string][] = [
    [
      'a calendar of components in components',
      ics(fill('BEGIN:A\n', KIB_256 / 2) + fill('END:A\n', (KIB_256 / 8) * 6)),
    ],
    ['a calendar of events', ics(fill('BEGIN:VEVENT\nEND:VEVENT\n'))],
    ['a calendar of 20,000 events', ics('BEGIN:VEVENT\nEND:VEVENT\n'.repeat(20_000))],
    ['a calendar of parameters', ics(`X${fill(';a="b"')}:x`)],
    ['a calendar of folded lines', ics(`X:${fill('\n a', 60_000)}`)],
    [
      'a calendar of a rule that never ends',
      ics('BEGIN:VEVENT\nDTSTART:00010101T000000Z\nRRULE:FREQ=SECONDLY\nEND:VEVENT'),
    ],
    ['a zone that changes every second', zone(`${OBSERVANCE}RRULE:FREQ=SECONDLY\nEND:STANDARD\n`)],
    [
      'a zone of a date that never comes',
      zone(`${OBSERVANCE}RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\nEND:STANDARD\n`),
    ],
    [
      'a zone of many dates',
      zone(`${OBSERVANCE}RDATE:${fill('20200101T000000,')}20200101T000000\nEND:STANDARD\n`),
    ],
    ['a zone of many rules', zone(`${OBSERVANCE}${fill('RRULE:FREQ=YEARLY\n')}END:STANDARD\n`)],
    ['a zone of many days', zone(`${OBSERVANCE}RRULE:FREQ=YEARLY;BYMONTHDAY=${fill('1,')}1\nEND:STANDARD\n`)],
    ['a zone of many observances', zone(fill(`${OBSERVANCE}END:STANDARD\n`))],
    ['a report of recipients', report(fill('Final-Recipient: rfc822; a@example.com\n'))],
    ['a report of one long line', report(`Diagnostic-Code: ${fill(' ;')}`)],
    ['a report of blank lines', report(fill('\n', 20_000))],
    ['a report of lines that are none', report(`A: b\n${fill('550 x\n', 60_000)}`)],
    [
      'a report of many files',
      multipart(
        'report',
        Array(40).fill(
          `Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n${fill('QTogYgpB')}`,
        ),
      ),
    ],
    ['a header of one long recipient', `X-Failed-Recipients: a@${fill('b')}\n\n`],
    ['a report of numbers', report(`Final-Recipient: rfc822;${fill('5.5.')}`)],
    ['a mail server that writes addresses', system(fill('a@example.com:\n'))],
    ['a mail server that writes blanks', system(fill(' '))],
    ['a mail server that writes dashes', system(fill('-'))],
    ['a header of recipients', `X-Failed-Recipients: ${fill('(a@b.example,<"')}\n\n`],
    ['a header of brackets', `List-Unsubscribe: ${fill('<')}\nList-Id: ${fill('"\\<', 100_000)}\n\n`],
    ['a header of encoded words', `List-Id: ${fill('=?utf-8?Q?=3C?= ')}\n\n`],
    ['a content type of blanks', `Content-Type: multipart/report${fill('; ')}\n\n`],
  ];
  for (const [what, mail] of mails)
    test(what, async () => {
      // Loads the parser of calendars. Parsing a mail has bounds, and tests, of its own.
      await categoryOf(await parseMime(bytesOf(ics(''))));
      const email = await parseMime(bytesOf(mail));
      // Its own time: others may be using the machine.
      const before = process.cpuUsage();
      await categoryOf(email);
      const { user, system } = process.cpuUsage(before);
      const tookMs = (user + system) / 1000;
      assert.ok(tookMs < 1_000, `${tookMs} ms`);
    });
});

const event = `BEGIN:VTIMEZONE
TZID:X
${OBSERVANCE}RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;UNTIL=20300101T000000Z
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
DTSTART;TZID=X:20240101T100000
DURATION:P1DT2H
SEQUENCE:1
RECURRENCE-ID;TZID=Europe/Paris:20240101T100000
ORGANIZER;CN=A:mailto:a@example.com
END:VEVENT`;
const whole = [
  multipart(
    'report; report-type=delivery-status',
    [
      'Content-Type: message/delivery-status\n\nReporting-MTA: dns;x\n\nFinal-Recipient: utf-8;\\x{D800}a@b\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 x',
      'Content-Type: message/rfc822\n\nMessage-ID: <1@a.b>\n\nx',
      ics(event),
    ],
    'List-Id: "A" <a.b>\nList-Unsubscribe: <https://a.b>, <mailto:a@b>\n',
  ),
  multipart('report; report-type=feedback-report', [
    'Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nArrival-Date: Mon, 1 Jan 2024 10:00:00 +0000\nSource-IP: 192.0.2.1\nOriginal-Rcpt-To: <a@b>',
    ics(event),
  ]),
  'From: MAILER-DAEMON@a.b\nX-Failed-Recipients: a@b.example\n\nHi. This is the\n\n<a@b.example>:\nno (#5.1.1)\n\n--- Below this line is a copy of the message\n\nMessage-ID: <1@a.b>\n',
].map((mail) => Buffer.from(bytesOf(mail)));
const pointed = fc.constantFrom(
  ...Buffer.from('\0\r\n\t :;,<>"()=@-\\xff{}#/.0', 'latin1'),
  0xff,
  0xed,
  0xa0,
);
const nearMail = fc.constantFrom(...whole).chain((mail) =>
  fc
    .array(fc.tuple(fc.nat(mail.length - 1), fc.oneof(pointed, fc.nat(255))), { maxLength: 20 })
    .map((edits) => {
      const near = Uint8Array.from(mail);
      for (const [at, byte] of edits) near[at] = byte;
      return near;
    }),
);

test('any mail near a report or an invitation has a category that is valid and can be stored', async () => {
  const property = fc.asyncProperty(nearMail, async (bytes) => {
    const { content } = await normalize(rawMail(bytes), new Date(0));
    const stored = JSON.stringify(content);
    assert.doesNotMatch(stored, /\\u0000|\\ud[89a-f]/);
    assert.deepEqual(mailContentSchema.parse(content), content);
  });
  await fc.assert(property, { numRuns: 1_000, interruptAfterTimeLimit: 10_000 });
});
