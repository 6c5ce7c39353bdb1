import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Bounce } from '../../../src/core/category/schema.ts';
import { multipart } from '../../support/raw-mail.ts';
import { categoryOf } from './category-of.ts';

const TEXT = 'Content-Type: text/plain\n\nYour mail could not be delivered.';
const ORIGINAL =
  'Content-Type: message/rfc822\n\nReceived: x\nMessage-Id: <1@example.com>\nSubject: Hello\n\nHello';
const PER_MESSAGE = 'Reporting-MTA: dns; mx.example.org\nArrival-Date: Mon, 1 Jan 2024 10:00:00 +0000\n';
const FAILED = `Final-Recipient: rfc822; user@example.org
Original-Recipient: rfc822;user+tag@example.org
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550 5.1.1 <user@example.org>: Recipient address
    rejected: User unknown`;
const DELAYED =
  'Final-Recipient: rfc822; slow@example.org\nAction: delayed\nStatus: 4.4.1\nWill-Retry-Until: x';
const DELIVERED = 'Final-Recipient: rfc822; ok@example.org\nAction: delivered\nStatus: 2.0.0';

const status = (groups: string[], type = 'message/delivery-status') =>
  `Content-Type: ${type}\n\n${[PER_MESSAGE, ...groups].join('\n')}\n`;
const report = (groups: string[], original = ORIGINAL, headers = '') =>
  multipart('report; report-type=delivery-status', [TEXT, status(groups), original], headers);
const FROM_SYSTEM = 'From: Mail Delivery System <MAILER-DAEMON@mx.example.org>\nSubject: x\n';

const unknownUser: Partial<Bounce> = {
  status: '5.1.1',
  action: 'failed',
  recipient: 'user+tag@example.org',
  diagnostic: '550 5.1.1 <user@example.org>: Recipient address rejected: User unknown',
  originalMessageId: '<1@example.com>',
};

describe('bounce', () => {
  const table: [string, string, Partial<Bounce> | null][] = [
    ['all that a report says (RFC 3464)', report([FAILED]), unknownUser],
    [
      'the same with only the headers of the mail',
      report([FAILED], ORIGINAL.replace('message/rfc822', 'text/rfc822-headers')),
      unknownUser,
    ],
    ['the same without a report-type', multipart('report', [TEXT, status([FAILED]), ORIGINAL]), unknownUser],
    [
      'the same with the status as a file',
      multipart('report', [TEXT, status([FAILED], 'application/octet-stream'), ORIGINAL]),
      unknownUser,
    ],
    [
      'the same with the status as text',
      multipart('report; report-type=delivery-status', [TEXT, status([FAILED], 'text/plain'), ORIGINAL]),
      unknownUser,
    ],
    [
      'the same from a mail server in another multipart',
      multipart('mixed', [TEXT, status([FAILED]), ORIGINAL], FROM_SYSTEM),
      unknownUser,
    ],
    [
      'what a report in base64 says',
      multipart('report; report-type=delivery-status', [
        `Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n${Buffer.from(`${PER_MESSAGE}\n${FAILED}`).toString('base64')}`,
        ORIGINAL,
      ]),
      unknownUser,
    ],
    [
      'what a warning says',
      report([DELAYED]),
      { action: 'delayed', status: '4.4.1', recipient: 'slow@example.org', diagnostic: null },
    ],
    [
      'what a receipt of delivery says',
      report([DELIVERED]),
      { action: 'delivered', status: '2.0.0', recipient: 'ok@example.org' },
    ],
    [
      'first of all about who did not get it',
      report([DELIVERED, DELAYED, FAILED]),
      {
        ...unknownUser,
        recipients: [
          { address: 'ok@example.org', action: 'delivered', status: '2.0.0', diagnostic: null },
          { address: 'slow@example.org', action: 'delayed', status: '4.4.1', diagnostic: null },
          {
            address: 'user+tag@example.org',
            action: 'failed',
            status: '5.1.1',
            diagnostic: unknownUser.diagnostic ?? null,
          },
        ],
      },
    ],
    [
      'the recipients of a report without blank lines',
      report([`${DELAYED}\n${DELIVERED}`]),
      {
        recipients: [
          { address: 'slow@example.org', action: 'delayed', status: '4.4.1', diagnostic: null },
          { address: 'ok@example.org', action: 'delivered', status: '2.0.0', diagnostic: null },
        ],
      },
    ],
    [
      'the recipients of a report with too many blank lines',
      report([DELIVERED.replace('\n', '\n\n')]),
      { recipients: [{ address: 'ok@example.org', action: 'delivered', status: '2.0.0', diagnostic: null }] },
    ],
    [
      'the recipient of a group that begins otherwise',
      report(['Action: failed\nStatus: 5.0.0 (x)\nFinal-recipient: rfc822;a@example.org']),
      { recipient: 'a@example.org', action: 'failed', status: '5.0.0' },
    ],
    [
      'the whole of a diagnostic that Exchange broke',
      report([
        'Final-Recipient: rfc822;a@b.example\nAction: failed\nDiagnostic-Code: smtp;550-5.1.1 no such\n550-5.1.1 user\n550 5.1.1 here',
      ]),
      { status: '5.1.1', diagnostic: '550-5.1.1 no such 550-5.1.1 user 550 5.1.1 here' },
    ],
    [
      "Exchange's own diagnostic",
      report([
        'Final-Recipient: rfc822;a@b.example\nAction: failed\nStatus: 5.1.1\nX-Supplementary-Info: <mx.b.example #5.1.1 smtp;550>',
      ]),
      { diagnostic: '<mx.b.example #5.1.1 smtp;550>' },
    ],
    [
      'an internationalized recipient (RFC 6533)',
      multipart('report; report-type=global-delivery-status', [
        TEXT,
        status(
          ['Final-Recipient: utf-8; jos\\x{E9}@例え.example\nAction: failed\nStatus: 5.1.1'],
          'message/global-delivery-status',
        ),
        'Content-Type: message/global-headers\n\nMessage-ID: <ü@example.com>\n',
      ]),
      { recipient: 'josé@例え.example', originalMessageId: '<ü@example.com>' },
    ],
    [
      'no recipient that is a program',
      report(['Final-Recipient: rfc822; |/usr/bin/x\nAction: failed']),
      { recipient: null, action: 'failed' },
    ],
    [
      'a recipient without its type',
      report(['Final-Recipient: <a@example.org>\nAction: failed']),
      { recipient: 'a@example.org' },
    ],
    [
      'the action by the status, where it is missing',
      report(['Final-Recipient: rfc822;a@b.example\nStatus: 4.4.7']),
      { action: 'delayed' },
    ],
    [
      'the action with a comment',
      report(['Final-Recipient: rfc822;a@b.example\nAction: Failed (gave up)']),
      { action: 'failed' },
    ],
    [
      'without an action, where nothing can be read',
      multipart('report; report-type=delivery-status', [TEXT, ORIGINAL]),
      { action: null, status: null, recipient: null, originalMessageId: '<1@example.com>', recipients: [] },
    ],
    [
      'about the mail it answers, where it returns none',
      multipart('report; report-type=delivery-status', [status([FAILED])], 'In-Reply-To: <1@example.com>\n'),
      unknownUser,
    ],
    [
      'null for a receipt of reading (RFC 8098)',
      multipart('report; report-type=disposition-notification', [
        TEXT,
        'Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;a@b.example\nDisposition: manual-action/MDN-sent-manually; displayed',
      ]),
      null,
    ],
    [
      'null for a mail that forwards a report',
      multipart('mixed', [TEXT, status([FAILED])], 'From: Ada <ada@example.com>\n'),
      null,
    ],
    [
      'null for a mail that has a report attached',
      multipart(
        'mixed',
        [TEXT, `Content-Type: message/rfc822\n\n${report([FAILED]).replaceAll('frontier', 'inner')}`],
        FROM_SYSTEM,
      ),
      null,
    ],
    [
      'null for a mail that cites one',
      `From: ada@example.com\nSubject: Undeliverable: x\n\nHi. This is the qmail-send program\n\n<a@example.com>:\nno\n`,
      null,
    ],
    [
      'null for what a postmaster writes',
      'From: postmaster@example.com\nSubject: News\n\nuser@example.com is new.',
      null,
    ],
    [
      'null for a subject alone',
      'From: postmaster@example.com\nSubject: Undeliverable: x\n\nWhat is it?',
      null,
    ],
    [
      'at most 2,000 characters of a diagnostic',
      report([`${DELIVERED}\nDiagnostic-Code: smtp; ${'é'.repeat(9_000)}`]),
      { diagnostic: 'é'.repeat(2_000) },
    ],
  ];
  for (const [what, mail, expected] of table)
    test(`is ${what}`, async () => {
      const { bounce, autoReply } = await categoryOf(mail);
      if (expected === null) assert.equal(bounce, null);
      else assert.partialDeepStrictEqual(bounce, expected);
      assert.equal(autoReply, false);
    });

  test('names at most 100 recipients', async () => {
    const { bounce } = await categoryOf(report(Array(300).fill(FAILED)));
    assert.equal(bounce?.recipients.length, 100);
    const parts = Array(20).fill(status(Array(50).fill(FAILED)));
    const many = await categoryOf(multipart('report; report-type=delivery-status', parts));
    assert.equal(many.bounce?.recipients.length, 100);
  });

  test('is no automatic reply, also where the server calls it one', async () => {
    const category = await categoryOf(report([FAILED], ORIGINAL, 'Auto-Submitted: auto-replied\n'));
    assert.equal(category.autoReply, false);
    assert.notEqual(category.bounce, null);
  });
});
