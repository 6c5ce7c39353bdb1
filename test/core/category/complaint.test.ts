import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Complaint } from '../../../src/core/category/schema.ts';
import { multipart } from '../../support/raw-mail.ts';
import { categoryOf } from './category-of.ts';

const ORIGINAL =
  'Content-Type: message/rfc822\n\nFrom: news@example.com\nMessage-ID:\n <1@example.com>\n\nHello';
const REPORT = `Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <bounce@example.com>
Original-Rcpt-To: <user@example.org>
Original-Rcpt-To: other@example.org
Arrival-Date: Thu, 8 Mar 2005 14:00:00 -0500
Source-IP: 192.0.2.1`;
const text = 'Content-Type: text/plain\n\nThis is an abuse report.';
const arf = (fields: string, type = 'report; report-type=feedback-report', original = ORIGINAL) =>
  multipart(type, [text, `Content-Type: message/feedback-report\n\n${fields}`, original]);

const full: Complaint = {
  feedbackType: 'abuse',
  userAgent: 'SomeGenerator/1.0',
  sourceIp: '192.0.2.1',
  originalMailFrom: 'bounce@example.com',
  recipients: ['user@example.org', 'other@example.org'],
  arrivalDate: '2005-03-08T19:00:00.000Z',
  originalMessageId: '<1@example.com>',
};

describe('complaint', () => {
  const table: [string, string, Partial<Complaint> | null][] = [
    ['all that a report says', arf(REPORT), full],
    ['the same without a report-type', arf(REPORT, 'report'), full],
    [
      'the same with only the headers',
      arf(REPORT, 'report', ORIGINAL.replace('message/rfc822', 'text/rfc822-headers')),
      full,
    ],
    ['null for a mail with a report among its files', arf(REPORT, 'mixed'), null],
    [
      'null for a report of another kind',
      multipart('report; report-type=disposition-notification', [text]),
      null,
    ],
    ['the type of another report', arf('Feedback-Type: Not-Spam'), { feedbackType: 'not-spam' }],
    [
      'other, where the type is missing',
      arf('User-Agent: x'),
      { feedbackType: 'other', userAgent: 'x', sourceIp: null },
    ],
    [
      'the date by its name of old',
      arf('Received-Date: Thu, 8 Mar 2005 14:00:00 -0500'),
      { arrivalDate: full.arrivalDate },
    ],
    ['no date that is none', arf('Arrival-Date: yesterday'), { arrivalDate: null }],
    ['an address of IPv6', arf('Source-IP: 2001:db8::1'), { sourceIp: '2001:db8::1' }],
    ['no address that is none', arf('Source-IP: localhost'), { sourceIp: null }],
    [
      'at most 100 recipients',
      arf('Original-Rcpt-To: a@example.com\n'.repeat(300)),
      { recipients: Array(100).fill('a@example.com') },
    ],
    [
      'at most 1,000 characters of a value',
      arf(`User-Agent: ${'a'.repeat(5_000)}`),
      { userAgent: 'a'.repeat(1_000) },
    ],
    [
      "what Microsoft's program sends",
      multipart(
        'mixed',
        [
          'Content-Type: message/rfc822\n\nX-HmXmrOriginalRecipient: user@example.org\nMessage-ID: <1@example.com>\n\nx',
        ],
        'From: staff@hotmail.com\nSubject: complaint about message from 192.0.2.1\n',
      ),
      {
        feedbackType: 'abuse',
        sourceIp: '192.0.2.1',
        recipients: ['user@example.org'],
        originalMessageId: '<1@example.com>',
      },
    ],
  ];
  for (const [what, mail, expected] of table)
    test(`is ${what}`, async () => {
      const { complaint, bounce, autoReply } = await categoryOf(mail);
      if (expected === null) assert.equal(complaint, null);
      else assert.partialDeepStrictEqual(complaint, expected);
      assert.equal(bounce, null);
      assert.equal(autoReply, false);
    });
});
