import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { normalize } from '../../src/core/normalize.ts';
import { multipart, rawMail } from '../support/raw-mail.ts';

const base64 = (headers: string, hex: string) =>
  `${headers}\nContent-Transfer-Encoding: base64\n\n${Buffer.from(hex, 'hex').toString('base64')}`;
const file = (type: string, name: string, hex = '00') =>
  multipart('mixed', [
    base64(`Content-Type: ${type}\nContent-Disposition: attachment; filename=${name}`, hex),
  ]);
const TNEF = '789f3e220100069008000400';
const SIGNED = 'signed; protocol="application/pgp-signature"; micalg=pgp-sha512';

describe('the attachments', () => {
  const table: [string, string, [string, string | null][]][] = [
    [
      'of Outlook',
      file('application/ms-tnef', 'winmail.dat', TNEF),
      [['application/ms-tnef', 'winmail.dat']],
    ],
    [
      'of Outlook without its type',
      file('application/octet-stream', 'WinMail.dat', TNEF),
      [['application/ms-tnef', 'WinMail.dat']],
    ],
    [
      'called as if of Outlook',
      file('application/octet-stream', 'winmail.dat'),
      [['application/octet-stream', 'winmail.dat']],
    ],
    [
      'of S/MIME without their type',
      file('application/octet-stream', 'smime.p7m'),
      [['application/pkcs7-mime', 'smime.p7m']],
    ],
    [
      'of a signature without its type',
      file('', 'smime.p7s'),
      [['application/pkcs7-signature', 'smime.p7s']],
    ],
    ['of a type that is told', file('text/plain', 'smime.p7s'), [['text/plain', 'smime.p7s']]],
    [
      'of a mail in S/MIME',
      base64('Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m', '3080'),
      [['application/pkcs7-mime', 'smime.p7m']],
    ],
    [
      'of a mail signed by S/MIME',
      multipart('signed; protocol="application/pkcs7-signature"', [
        'Content-Type: text/plain\n\nHello',
        base64('Content-Type: application/pkcs7-signature; name=smime.p7s', '3080'),
      ]),
      [['application/pkcs7-signature', 'smime.p7s']],
    ],
    [
      'of a mail signed by PGP',
      multipart(SIGNED, [
        'Content-Type: text/plain\n\nHello',
        'Content-Type: application/pgp-signature\n\nx',
      ]),
      [['application/pgp-signature', null]],
    ],
    [
      'of a mail encrypted by PGP',
      multipart('encrypted; protocol="application/pgp-encrypted"', [
        'Content-Type: application/pgp-encrypted\n\nVersion: 1',
        'Content-Type: application/octet-stream; name=encrypted.asc\nContent-Disposition: inline; filename=encrypted.asc\n\nx',
      ]),
      [
        ['application/pgp-encrypted', null],
        ['application/octet-stream', 'encrypted.asc'],
      ],
    ],
  ];
  for (const [whose, mail, expected] of table)
    test(`${whose} say what they are`, async () => {
      const { content } = await normalize(rawMail(mail), new Date(0));
      assert.deepEqual(
        content.attachments.map(({ contentType, filename }) => [contentType, filename]),
        expected,
      );
      assert.equal(content.parse, 'ok');
    });

  test('of a signed mail leave its text to read', async () => {
    const mail = multipart(SIGNED, [
      'Content-Type: text/plain\n\nHello',
      'Content-Type: application/pgp-signature\n\nx',
    ]);
    assert.equal((await normalize(rawMail(mail), new Date(0))).content.text, 'Hello\n');
  });
});
