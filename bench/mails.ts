import { createHmac } from 'node:crypto';

/** Gmail sends at most one push a second for an account. */
export const PUSH_ACCOUNTS = 500;
export const pushAddress = (n: number) => `account-${n % PUSH_ACCOUNTS}@example.org`;

/** A plain mail of about 1 kB, as a person writes it. */
export function plainMail(n: number): string {
  const words = 'The quick brown fox jumps over the lazy dog and then it sleeps in the warm sun. ';
  return [
    'Received: from mail.example.com (mail.example.com [192.0.2.1]) by mx.example.org; Fri, 20 Nov 2026 10:00:00 +0000',
    'From: Ada Example <ada@example.com>',
    'To: Grace Example <grace@example.org>',
    `Subject: A plain mail, number ${n}`,
    'Date: Fri, 20 Nov 2026 10:00:00 +0000',
    `Message-ID: <bench-${n}@example.com>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    '',
    words.repeat(7),
    '',
  ].join('\r\n');
}

/** A MIME mail of about 12 kB: text and html of a newsletter, quoted-printable, and a small attachment. */
export function mimeMail(n: number): string {
  const paragraph =
    'Dear reader, this is the letter of the week =E2=80=94 with news, offers and a word from our sponsors, =\r\nwrapped as mail programs do it.\r\n';
  const cell =
    '<tr><td style=3D"padding:8px;font-family:Arial,sans-serif"><a href=3D"https://example.com/a?b=3Dc">An =\r\noffer</a> you may like &mdash; only this week</td></tr>\r\n';
  return [
    'Return-Path: <bounce@news.example.com>',
    'Received: from news.example.com (news.example.com [192.0.2.7]) by mx.example.org with ESMTPS; Fri, 20 Nov 2026 10:00:00 +0000',
    'DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1; h=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=',
    'Authentication-Results: mx.example.org; dkim=pass header.d=example.com; spf=pass smtp.mailfrom=news.example.com',
    'From: =?utf-8?q?News_of_Caf=C3=A9_Example?= <news@example.com>',
    'To: grace@example.org',
    `Subject: =?utf-8?b?VGhlIGxldHRlciBvZiB0aGUgd2VlayDigJQg?= number ${n}`,
    'Date: Fri, 20 Nov 2026 10:00:00 +0000',
    `Message-ID: <news-${n}@example.com>`,
    'List-Id: News <news.example.com>',
    'List-Unsubscribe: <https://example.com/u>',
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary="outer"',
    '',
    '--outer',
    'Content-Type: multipart/alternative; boundary="inner"',
    '',
    '--inner',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    paragraph.repeat(14),
    '--inner',
    'Content-Type: text/html; charset=utf-8',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    `<html><body><table>\r\n${cell.repeat(38)}</table></body></html>`,
    '--inner--',
    '--outer',
    'Content-Type: application/pdf; name="offer.pdf"',
    'Content-Disposition: attachment; filename="offer.pdf"',
    'Content-Transfer-Encoding: base64',
    '',
    `${'JVBERi0xLjQKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0ZURl\r\n'.repeat(16)}`,
    '--outer--',
    '',
  ].join('\r\n');
}

/** The whole HTTP/1.1 request of Pub/Sub for a change in one of some hundred accounts. */
export function pushRequest(options: { path: string; host: string; token: string; n: number }): Buffer {
  const payload = { emailAddress: pushAddress(options.n), historyId: 1_000_000 + options.n };
  const body = JSON.stringify({
    message: {
      data: Buffer.from(JSON.stringify(payload)).toString('base64'),
      messageId: String(2_070_443_601_311_540 + options.n),
      publishTime: '2026-11-20T10:00:00.000Z',
    },
    subscription: 'projects/bench/subscriptions/bench',
  });
  return Buffer.from(
    `POST ${options.path} HTTP/1.1\r\nhost: ${options.host}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nauthorization: Bearer ${options.token}\r\n\r\n${body}`,
  );
}

/** The whole HTTP/1.1 request that posts one mail as a batch of one, signed. */
export function signedRequest(options: {
  path: string;
  host: string;
  secret: string;
  id: string;
  mail: string;
  nowS: number;
}): Buffer {
  const body = JSON.stringify({
    kind: 'messages',
    script: { version: '1.0.0', account: 'grace@example.org' },
    messages: [
      {
        id: options.id,
        threadId: options.id,
        labelIds: ['INBOX', 'UNREAD'],
        internalDate: '1763632800000',
        raw: Buffer.from(options.mail).toString('base64url'),
      },
    ],
  });
  const id = `bench_${options.id}`;
  const key = Buffer.from(options.secret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${options.nowS}.${body}`).digest('base64');
  return Buffer.from(
    `POST ${options.path} HTTP/1.1\r\nhost: ${options.host}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nwebhook-id: ${id}\r\nwebhook-timestamp: ${options.nowS}\r\n` +
      `webhook-signature: v1,${signature}\r\n\r\n${body}`,
  );
}
