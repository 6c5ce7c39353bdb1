import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Bounce } from '../../../src/core/category/schema.ts';
import { categoryOf } from './category-of.ts';

const QMAIL = `From: MAILER-DAEMON@mx.example.org
Subject: failure notice

Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.

<user@example.com>:
Sorry, no mailbox here by that name. (#5.1.1)

<other@example.net>:
192.0.2.5 does not like recipient.
Remote host said: 552 5.2.2 Over quota
Giving up on 192.0.2.5.

--- Below this line is a copy of the message.

Return-Path: <ada@example.org>
Message-ID: <1@example.org>
To: user@example.com

third@example.com is not told of.
`;
const EXIM = `From: Mail Delivery System <Mailer-Daemon@mx.example.org>
X-Failed-Recipients: user@example.com,
 other@example.net
Auto-Submitted: auto-replied
Subject: Mail delivery failed: returning message to sender

A message that you sent could not be delivered to all of its recipients.

  user@example.com
    host mx.example.com [192.0.2.5]: 550 5.7.1 Access denied
  other@example.net
    Unrouteable address

------ This is a copy of the message, including all the headers. ------

Message-Id: <1@example.org>

Hello
`;
const GOOGLE = `From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
X-Failed-Recipients: user@example.com
Subject: Delivery Status Notification (Delay)

This is an automatically generated Delivery Status Notification

     user@example.com

The error that the other server returned was:
450 4.2.2 Mailbox full

----- Original message -----

Message-ID: <1@example.org>
`;
const EXCHANGE = `From: System Administrator <postmaster@example.org>
Subject: Undeliverable: Hello

Your message

  To:      Somebody
  Subject: Hello

did not reach the following recipient(s):

user@example.com on Mon, 1 Jan 2024 10:00:00 +0000
    The recipient name is not recognized
    MSEXCH:IMS:EXAMPLE:SITE:SERVER 0 (000C05A6) Unknown Recipient
`;

describe('a bounce in the words of', () => {
  const table: [string, string, Bounce | null][] = [
    [
      'qmail',
      QMAIL,
      bounce(
        'failed',
        [
          ['user@example.com', '5.1.1', 'Sorry, no mailbox here by that name. (#5.1.1)'],
          [
            'other@example.net',
            '5.2.2',
            '192.0.2.5 does not like recipient. Remote host said: 552 5.2.2 Over quota Giving up on 192.0.2.5.',
          ],
        ],
        '<1@example.org>',
      ),
    ],
    [
      'Exim',
      EXIM,
      bounce(
        'failed',
        [
          ['user@example.com', '5.7.1', 'host mx.example.com [192.0.2.5]: 550 5.7.1 Access denied'],
          ['other@example.net', null, 'Unrouteable address'],
        ],
        '<1@example.org>',
      ),
    ],
    [
      'Google',
      GOOGLE,
      bounce('delayed', [['user@example.com', '4.2.2', '450 4.2.2 Mailbox full']], '<1@example.org>'),
    ],
    [
      'Exchange',
      EXCHANGE,
      bounce(
        'failed',
        [
          [
            'user@example.com',
            null,
            'The recipient name is not recognized MSEXCH:IMS:EXAMPLE:SITE:SERVER 0 (000C05A6) Unknown Recipient',
          ],
        ],
        null,
      ),
    ],
    [
      'a mail server of which only the headers are here',
      'From: MAILER-DAEMON@example.org\nX-Failed-Recipients: user@example.com\n\n',
      bounce('failed', [['user@example.com', null, null]], null),
    ],
    ['nobody, where a mail merely has a header without an address', 'X-Failed-Recipients: none\n\nx', null],
  ];
  for (const [who, mail, expected] of table)
    test(`${who} is read`, async () => assert.deepEqual((await categoryOf(mail)).bounce, expected));

  for (const [who, mail] of [
    [
      'a person who sets a header of servers',
      'From: ada@example.org\nX-Failed-Recipients: c@example.com\n\nHi',
    ],
    [
      'a shop whose mail need not be returned',
      'Return-Path: <>\nFrom: shop@example.com\nSubject: Delivery has failed - your parcel\n\nhelp@example.com will help',
    ],
    [
      'a postmaster who writes of deliveries',
      'From: postmaster@example.org\nSubject: Mail delivery failed: weekly statistics\n\nada@example.org asked for them',
    ],
  ] as const)
    test(`${who} sends none`, async () => assert.equal((await categoryOf(mail)).bounce, null));

  test('qmail is one only from a mail server', async () => {
    assert.equal((await categoryOf(QMAIL.replace('MAILER-DAEMON', 'ada'))).bounce, null);
    const returned = `Return-Path: <>\n${QMAIL.replace('MAILER-DAEMON', 'ada')}`;
    assert.equal((await categoryOf(returned)).bounce?.recipient, 'user@example.com');
  });
});

function bounce(
  action: 'failed' | 'delayed',
  told: [string, string | null, string | null][],
  originalMessageId: string | null,
): Bounce {
  const recipients = told.map(([address, status, diagnostic]) => ({ address, action, status, diagnostic }));
  const first = recipients[0] ?? { address: null, status: null, diagnostic: null };
  const { address: recipient, status, diagnostic } = first;
  return { status, action, recipient, diagnostic, originalMessageId, recipients };
}
