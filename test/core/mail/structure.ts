import { createHash } from 'node:crypto';
import { type Fixture, withPart } from './fixture.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const mixed = (body: string, type = 'multipart/mixed; boundary=b') =>
  `MIME-Version: 1.0\nContent-Type: ${type}\n\n${body}`;

/** A multipart/mixed of a text `a` and this part. */
const beside = (part: string) => mixed(`--b\n\na\n--b\n${part}\n--b--`);

/** Multiparts one in the other; the innermost is a text. */
function nested(depth: number): string {
  const open = Array.from(
    { length: depth },
    (_, i) => `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n`,
  );
  return `${open.join('')}\ninnermost\n`;
}

const boundaries: Fixture[] = [
  {
    name: 'leaves out what is before the first part and behind the last',
    mail: mixed('before\n--b\n\na\n--b--\nbehind\n'),
    expect: { text: 'a\n', attachments: [], parse: 'ok' },
  },
  {
    name: 'reads a boundary in quotes',
    mail: mixed('--a b\n\na\n--a b--', 'multipart/mixed; boundary="a b"'),
    expect: { text: 'a\n' },
  },
  {
    name: 'reads a boundary of punctuation',
    mail: mixed(
      "--=_(a)+'b',./:=?\n\na\n--=_(a)+'b',./:=?--",
      'multipart/mixed; boundary="=_(a)+\'b\',./:=?"',
    ),
    expect: { text: 'a\n', parse: 'ok' },
  },
  {
    name: 'reads a boundary with blanks behind it',
    mail: mixed('--b \t\n\na\n--b-- \n'),
    expect: { text: 'a\n', parse: 'ok' },
  },
  {
    name: 'reads a multipart that nobody ends',
    mail: mixed('--b\n\na\n'),
    expect: { text: 'a\n', parse: 'ok' },
  },
  {
    name: 'reads a multipart that ends in its boundary, with an empty part behind',
    mail: mixed('--b\n\na\n--b'),
    expect: { text: 'a\n\n' },
  },
  { name: 'reads a part without headers', mail: mixed('--b\n\na\n--b--'), expect: { text: 'a\n' } },
  {
    name: 'reads parts behind the end as none, and tells of them',
    mail: mixed('--b\n\na\n--b--\n--b\n\nb\n'),
    expect: { parse: 'partial', text: 'a\n', attachments: [] },
  },
  {
    name: 'tells of parts behind the end of an inner multipart',
    mail: mixed(
      '--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\na\n--c--\n--c\n\nb\n--c--\n--b\n\nd\n--b--',
    ),
    expect: { parse: 'partial', text: 'a\n\nd\n' },
  },
  {
    name: 'misses nothing of a multipart that ends twice',
    mail: mixed('--b\n\na\n--b--\n--b--\n'),
    expect: { parse: 'ok', text: 'a\n' },
  },
  {
    name: 'takes a line that begins as a boundary for text',
    mail: mixed('--b\n\na\n--bc\n--b--'),
    expect: { text: 'a\n--bc\n' },
  },
  {
    name: 'takes a boundary inside a line for text',
    mail: mixed('--b\n\na --b\n--b--'),
    expect: { text: 'a --b\n' },
  },
  {
    name: 'takes an escaped boundary for text',
    mail: mixed('--b\n\n>--b\n--b--'),
    expect: { text: '>--b\n' },
  },
  {
    name: 'knows no part without a boundary',
    mail: mixed('--b\n\na\n--b--', 'multipart/mixed'),
    expect: { text: null, attachments: [], parse: 'partial' },
  },
  {
    name: 'knows no part of an empty boundary',
    mail: mixed('--\n\na\n----', 'multipart/mixed; boundary=""'),
    expect: { text: null, parse: 'partial' },
  },
  {
    name: 'knows no part of another boundary',
    mail: mixed('--c\n\na\n--c--'),
    expect: { text: null, parse: 'partial' },
  },
  {
    name: 'knows no part of a boundary in other case',
    mail: mixed('--B\n\na\n--B--'),
    expect: { text: null, parse: 'partial' },
  },
  {
    name: 'has nothing of an empty multipart',
    mail: mixed('--b--\n'),
    expect: { text: null, attachments: [], parse: 'partial' },
  },
  {
    name: 'reads the first of two boundaries',
    mail: mixed('--b\n\na\n--b--', 'multipart/mixed; boundary=b; boundary=c'),
    expect: { text: 'a\n' },
  },
  {
    name: 'reads a boundary folded behind its name',
    mail: mixed('--b\n\na\n--b--', 'multipart/mixed;\n\tboundary=\n "b"'),
    expect: { text: 'a\n' },
  },
  {
    name: 'reads a boundary in continuations',
    mail: mixed('--bc\n\na\n--bc--', 'multipart/mixed; boundary*0=b; boundary*1=c'),
    expect: { text: 'a\n' },
  },
  {
    name: 'reads a boundary behind a comment',
    mail: mixed('--b\n\na\n--b--', 'multipart/mixed (of old; times); boundary=b'),
    expect: { text: 'a\n' },
  },
  {
    name: 'reads a boundary of 200 characters',
    mail: mixed(`--${'b'.repeat(200)}\n\na\n`, `multipart/mixed; boundary=${'b'.repeat(200)}`),
    expect: { text: 'a\n' },
  },
  {
    name: 'reads line ends of three kinds in one multipart',
    mail: Buffer.from('Content-Type: multipart/mixed; boundary=b\n\r\n--b\r\n\na\r\r\n--b--\n'),
    expect: { text: 'a\n', parse: 'ok' },
  },
  {
    name: 'reads parts that end in CR alone',
    mail: Buffer.from('Content-Type: multipart/mixed; boundary=b\r\r--b\r\ra\r--b--\r'),
    expect: { text: 'a\n', parse: 'ok' },
  },
];

/** Parts that are not as they should be, beside one that is. */
const strays: Fixture[] = [
  {
    name: 'reads a part without a blank line',
    mail: beside('hello this text has no blank line\nsecond'),
    expect: { text: 'a\n\nhello this text has no blank line\nsecond\n', parse: 'partial' },
  },
  {
    name: 'reads a part whose first paragraph stands where headers do, in its charset',
    mail: Buffer.from(beside('grüße\n\n  second\n\nthird'), 'latin1'),
    expect: { text: 'a\n\ngrüße\n\n  second\n\nthird\n', parse: 'partial' },
  },
  {
    name: 'reads a text that follows its header at once',
    mail: beside('Content-Type: text/plain\nhello lost text'),
    expect: { text: 'a\n\nhello lost text\n', parse: 'partial' },
  },
  {
    name: 'reads a text that begins with a line of dashes',
    mail: beside('--------\nhello'),
    expect: { text: 'a\n\n--------\nhello\n', parse: 'partial' },
  },
  {
    name: 'reads the headers behind a line that is none',
    mail: beside('Content-Type: image/png;\nname=x.png\nContent-Transfer-Encoding: base64\n\nY2Fm'),
    expect: { text: 'a\n', attachments: [{ contentType: 'image/png', sizeBytes: 3 }], parse: 'partial' },
  },
  {
    name: 'tells that a line was taken for a header',
    mail: beside('Note: lost'),
    expect: { text: 'a\n\n', parse: 'partial' },
  },
  {
    name: 'tells of a nested multipart without a boundary',
    mail: beside('Content-Type: multipart/alternative\n\n--c\n\nlost\n--c--'),
    expect: { text: 'a\n', parse: 'partial' },
  },
  {
    name: 'tells of a nested multipart of another boundary',
    mail: beside('Content-Type: multipart/alternative; boundary=d\n\n--c\n\nlost\n--c--'),
    expect: { text: 'a\n', parse: 'partial' },
  },
  {
    name: 'misses nothing of a nested multipart of nothing',
    mail: beside('Content-Type: multipart/alternative; boundary=d\n\n \n'),
    expect: { text: 'a\n', parse: 'ok' },
  },
];

const trees: Fixture[] = [
  {
    name: 'reads alternatives',
    mail: mixed('--b\n\na\n--b\nContent-Type: text/html\n\n<p>a\n--b--', 'multipart/alternative; boundary=b'),
    expect: { text: 'a\n', html: '<p>a\n', attachments: [] },
  },
  {
    name: 'joins texts',
    mail: mixed('--b\n\na\n--b\n\nb\n--b--'),
    expect: { text: 'a\n\nb\n', html: null },
  },
  {
    name: 'has texts of both kinds where they stand one below the other',
    mail: mixed('--b\n\na\n--b\nContent-Type: text/html\n\n<p>b\n--b--'),
    expect: { text: 'a\n\n\nb\n', html: '<div>a</div>\n<p>b\n' },
  },
  {
    name: 'reads the alternatives in a mixed one',
    mail: mixed(
      '--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\na\n--c\nContent-Type: text/html\n\n<p>a\n--c--\n--b\nContent-Type: image/png\n\nx\n--b--',
    ),
    expect: { text: 'a\n', html: '<p>a\n', attachments: [{ contentType: 'image/png' }] },
  },
  {
    name: 'ends an inner multipart with the outer one',
    mail: mixed('--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\na\n--b\n\nb\n--b--'),
    expect: { text: 'a\n\nb\n', parse: 'ok' },
  },
  {
    name: 'reads two multiparts of one boundary, one in the other',
    mail: mixed('--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\na\n--b--\n--b--'),
    expect: { text: 'a\n' },
  },
  {
    name: 'tells an inner boundary that begins as the outer one',
    mail: mixed('--b\nContent-Type: multipart/mixed; boundary=b2\n\n--b2\n\na\n--b2--\n--b\n\nc\n--b--'),
    expect: { text: 'a\n\nc\n' },
  },
  {
    name: 'reads 100 multiparts one in the other',
    mail: nested(100),
    expect: { text: 'innermost\n', parse: 'ok' },
  },
  {
    name: 'gives up at 300 multiparts one in the other',
    mail: `Subject: a\n${nested(300)}`,
    expect: { subject: 'a', text: null, parse: 'failed' },
  },
  {
    name: 'reads 1,000 parts',
    mail: mixed(
      `${Array.from({ length: 1000 }, (_, i) => `--b\nContent-Type: image/png; name=${i}\n\nx\n`).join('')}--b--`,
    ),
    expect: {
      attachments: Array.from({ length: 1000 }, (_, index) => ({
        index,
        filename: String(index),
        sizeBytes: 1,
      })),
      parse: 'ok',
    },
  },
  {
    name: 'gives up at 10,000 parts',
    mail: `Subject: a\n${mixed('--b\n'.repeat(10_001))}`,
    expect: { subject: 'a', attachments: [], parse: 'failed' },
  },
  {
    name: 'reads a part of an unknown multipart as of a mixed one',
    mail: mixed('--b\n\na\n--b--', 'multipart/x-new; boundary=b'),
    expect: { text: 'a\n' },
  },
  {
    name: 'reads the mails of a digest as attachments',
    mail: mixed('--b\n\nSubject: one\n\na\n--b\n\nSubject: two\n\nb\n--b--', 'multipart/digest; boundary=b'),
    expect: {
      text: null,
      attachments: [{ contentType: 'message/rfc822' }, { contentType: 'message/rfc822' }],
    },
  },
  {
    name: 'reads a multipart that says to be in base64, which it may not',
    mail: 'Content-Transfer-Encoding: base64\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\na\n--b--',
    expect: { text: 'a\n' },
  },
  {
    name: 'reads a report with its status and the mail it is about',
    mail: mixed(
      '--b\n\nNot delivered.\n--b\nContent-Type: message/delivery-status\n\nAction: failed\n--b\nContent-Type: message/rfc822\n\nSubject: old\n\nx\n--b--',
      'multipart/report; report-type=delivery-status; boundary=b',
    ),
    expect: {
      text: 'Not delivered.\n',
      attachments: [{ contentType: 'message/delivery-status' }, { contentType: 'message/rfc822' }],
    },
  },
];

const attachments: Fixture[] = [
  {
    name: 'tells size and hash of a file in base64',
    mail: withPart('Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nY2Fmw6k='),
    expect: { attachments: [{ sizeBytes: 5, sha256: sha256('café'), disposition: 'attachment' }] },
  },
  {
    name: 'tells size and hash of a file of 7 bits, as it came',
    mail: withPart('Content-Type: text/csv\n\na,b\n1,2'),
    expect: { attachments: [{ contentType: 'text/csv', sizeBytes: 8, sha256: sha256('a,b\r\n1,2') }] },
  },
  {
    name: 'tells size and hash of a file in quoted-printable, as it came',
    mail: withPart('Content-Type: text/csv\nContent-Transfer-Encoding: quoted-printable\n\na,=\nb\n1=3D2\n'),
    expect: { attachments: [{ sizeBytes: 10, sha256: sha256('a,b\r\n1=2\r\n') }] },
  },
  {
    name: 'keeps the line ends of a binary file, CR alone among them',
    mail: Buffer.from(
      'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\n\r\n\na\r\nb\r\r\n\nc\r\r\n--b--\r\n',
    ),
    expect: { attachments: [{ sizeBytes: 11, sha256: sha256('\na\r\nb\r\r\n\nc\r') }] },
  },
  {
    name: 'keeps lines of a file that begin as a boundary does',
    mail: withPart('Content-Type: text/csv\n\n--\n--bc\nx\n-- '),
    expect: { attachments: [{ sha256: sha256('--\r\n--bc\r\nx\r\n-- ') }] },
  },
  {
    name: 'keeps the last line end of a file that no boundary ends',
    mail: 'Content-Type: text/csv\n\na\n',
    expect: { attachments: [{ sizeBytes: 3, sha256: sha256('a\r\n') }] },
  },
  {
    name: 'knows a file of nothing',
    mail: withPart('Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n'),
    expect: { attachments: [{ filename: 'a.pdf', sizeBytes: 0, sha256: sha256('') }] },
  },
  {
    name: 'keeps a text as a file where it says attachment',
    mail: withPart('Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\na'),
    expect: { text: null, attachments: [{ filename: 'a.txt', contentType: 'text/plain' }] },
  },
  {
    // As the parser has it: what says inline is shown.
    name: 'reads a text that has a name but says inline into the text',
    mail: withPart('Content-Type: text/plain; name=a.txt\nContent-Disposition: inline; filename=a.txt\n\na'),
    expect: { text: 'a\n', attachments: [] },
  },
  {
    name: 'takes a mail of one file for its attachment',
    mail: 'Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nY2Fm',
    expect: { text: null, attachments: [{ filename: 'a.pdf', sizeBytes: 3 }], parse: 'ok' },
  },
  {
    name: 'keeps an attached mail as it is',
    mail: withPart('Content-Type: message/rfc822\n\nSubject: inner\nFrom: a@example.com\n\nText'),
    expect: {
      subject: null,
      from: null,
      text: null,
      attachments: [
        {
          contentType: 'message/rfc822',
          sha256: sha256('Subject: inner\r\nFrom: a@example.com\r\n\r\nText'),
        },
      ],
    },
  },
  {
    name: 'does not look for parts in an attached mail',
    mail: withPart(
      'Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--',
    ),
    expect: { text: null, attachments: [{ contentType: 'message/rfc822' }] },
  },
  {
    name: 'keeps an attached mail in base64, which it may not be',
    mail: withPart(
      `Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n${Buffer.from('Subject: a\n\nb').toString('base64')}`,
    ),
    expect: { attachments: [{ contentType: 'message/rfc822', sha256: sha256('Subject: a\n\nb') }] },
  },
  {
    name: 'keeps a pointer to an external body',
    mail: withPart(
      'Content-Type: message/external-body; access-type=URL; url="https://example.com/a"\n\nContent-Type: image/png\n',
    ),
    expect: { attachments: [{ contentType: 'message/external-body' }] },
  },
  {
    name: 'keeps a fragment of a mail',
    mail: 'Content-Type: message/partial; id=a; number=1; total=2\n\nSubject: inner\n\nx',
    expect: { text: null, attachments: [{ contentType: 'message/partial' }] },
  },
  {
    // Opened it would be a second format with limits of its own; who needs it has its bytes.
    name: 'names a winmail.dat and does not open it',
    mail: withPart(
      'Content-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment\n\neJ8+Ig==',
    ),
    expect: { attachments: [{ filename: 'winmail.dat', contentType: 'application/ms-tnef', sizeBytes: 4 }] },
  },
  {
    // Kept in the text, as it came: what begins like it may be a text about it.
    name: 'keeps uuencode in a text as text',
    mail: 'A: b\n\nSee:\nbegin 644 a.txt\n#8V%F\n`\nend\n',
    expect: { text: 'See:\nbegin 644 a.txt\n#8V%F\n`\nend\n', attachments: [] },
  },
  {
    name: 'leaves a signed mail as it is, its signature beside',
    mail: mixed(
      '--b\n\nsigned\n--b\nContent-Type: application/pgp-signature; name=signature.asc\n\n-----BEGIN PGP SIGNATURE-----\n--b--',
      'multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha256; boundary=b',
    ),
    expect: { text: 'signed\n', attachments: [{ filename: 'signature.asc' }] },
  },
  {
    name: 'leaves a mail encrypted with PGP as it is',
    mail: mixed(
      '--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--b\nContent-Type: application/octet-stream; name=encrypted.asc\n\n-----BEGIN PGP MESSAGE-----\n--b--',
      'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b',
    ),
    expect: {
      text: null,
      attachments: [{ contentType: 'application/pgp-encrypted' }, { filename: 'encrypted.asc' }],
    },
  },
  {
    name: 'leaves S/MIME as it is',
    mail: 'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\nContent-Transfer-Encoding: base64\n\nMIAG',
    expect: {
      text: null,
      attachments: [{ filename: 'smime.p7m', contentType: 'application/pkcs7-mime', sizeBytes: 3 }],
    },
  },
  {
    // The parser has it in UTF-8 with LF, whatever it came in: size and hash are of that.
    name: 'keeps an invitation as a file, in UTF-8',
    mail: withPart(
      'Content-Type: text/calendar; method=REQUEST; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nBEGIN:VCALENDAR=0D=0ASUMMARY:caf=E9\n',
    ),
    expect: {
      attachments: [{ contentType: 'text/calendar', sha256: sha256('BEGIN:VCALENDAR\nSUMMARY:café\n') }],
    },
  },
  {
    name: 'shows images that html refers to as inline',
    mail: mixed(
      '--b\nContent-Type: text/html\n\n<img src=cid:a@b>\n--b\nContent-Type: image/png\nContent-ID: <a@b>\n\nx\n--b--',
      'multipart/related; boundary=b',
    ),
    expect: { attachments: [{ contentId: 'a@b', disposition: 'inline' }] },
  },
  {
    name: 'shows what says attachment as one, though it has a Content-ID',
    mail: mixed(
      '--b\nContent-Type: image/png\nContent-ID: <a@b>\nContent-Disposition: attachment\n\nx\n--b--',
      'multipart/related; boundary=b',
    ),
    expect: { attachments: [{ contentId: 'a@b', disposition: 'attachment' }] },
  },
  {
    name: 'shows an image with a Content-ID outside of a related one as an attachment',
    mail: withPart('Content-Type: image/png\nContent-ID: <a@b>\n\nx'),
    expect: { attachments: [{ contentId: 'a@b', disposition: 'attachment' }] },
  },
  {
    name: 'reads a Content-ID without brackets',
    mail: withPart('Content-Type: image/png\nContent-ID: a@b\nContent-Disposition: inline\n\nx'),
    expect: { attachments: [{ contentId: 'a@b', disposition: 'inline' }] },
  },
  {
    name: 'takes an unknown disposition for an attachment',
    mail: withPart('Content-Type: image/png\nContent-Disposition: x-form\n\nx'),
    expect: { attachments: [{ disposition: 'attachment' }] },
  },
  {
    name: 'takes a text of an unknown disposition for an attachment if it has a file name',
    mail: withPart('Content-Disposition: x-form; filename=A.txt\n\nx'),
    expect: { text: null, attachments: [{ filename: 'A.txt', disposition: 'attachment' }] },
  },
  {
    name: 'reads a text of an unknown disposition without a file name',
    mail: withPart('Content-Disposition: x-form\n\nx'),
    expect: { text: 'x\n', attachments: [] },
  },
  {
    name: 'reads a disposition without its semicolon',
    mail: withPart('Content-Disposition: attachment filename="A b.txt"\n\nx'),
    expect: { text: null, attachments: [{ filename: 'A b.txt', disposition: 'attachment' }] },
  },
  {
    name: 'reads a disposition that is its file name',
    mail: withPart('Content-Disposition: filename=A.txt\n\nx'),
    expect: { text: null, attachments: [{ filename: 'A.txt', disposition: 'attachment' }] },
  },
  {
    name: 'reads an inline disposition without its semicolon',
    mail: withPart('Content-Type: image/png\nContent-Disposition: inline filename=A.png\n\nx'),
    expect: { attachments: [{ filename: 'A.png', disposition: 'inline' }] },
  },
  {
    name: 'knows no type of a file that names none',
    mail: withPart('Content-Type: ;\nContent-Disposition: attachment; filename=a\n\nx'),
    expect: { attachments: [{ filename: 'a', contentType: 'application/octet-stream' }] },
  },
  {
    name: 'keeps a type that is made up',
    mail: withPart('Content-Type: foo/bar; x=y\n\nx'),
    expect: { attachments: [{ contentType: 'foo/bar' }] },
  },
  {
    name: 'makes a name of two lines one',
    mail: withPart(
      "Content-Type: image/png\nContent-Disposition: attachment; filename*=utf-8''a%0D%0Ab\n\nx",
    ),
    expect: { attachments: [{ filename: 'a b' }] },
  },
  {
    name: 'replaces U+0000 in a name',
    mail: withPart("Content-Type: image/png\nContent-Disposition: attachment; filename*=utf-8''a%00b\n\nx"),
    expect: { attachments: [{ filename: 'a\ufffdb' }], parse: 'partial' },
  },
  {
    name: 'keeps two files of one name',
    mail: mixed(
      '--b\nContent-Type: image/png; name=a\n\nx\n--b\nContent-Type: image/png; name=a\n\ny\n--b--',
    ),
    expect: {
      attachments: [
        { index: 0, filename: 'a' },
        { index: 1, filename: 'a' },
      ],
    },
  },
];

const odds: Fixture[] = [
  {
    name: 'has nothing of a mail of nothing',
    mail: '',
    expect: { text: null, html: null, headers: [], snippet: '', parse: 'ok' },
  },
  { name: 'has nothing of blank lines', mail: '\n\n\n', expect: { text: '\n\n', snippet: '', headers: [] } },
  { name: 'has nothing of a blank', mail: ' ', expect: { subject: null, parse: 'partial' } },
  { name: 'keeps a mail of zeros', mail: Buffer.alloc(100), expect: { text: null, parse: 'partial' } },
  {
    name: 'keeps a mail of bytes of value 255',
    mail: Buffer.alloc(100, 0xff),
    expect: { text: null, parse: 'partial' },
  },
  {
    name: 'reads a boundary that is the last line, and a header of its part',
    mail: mixed('--b\nContent-Type: image/png'),
    expect: { parse: 'ok' },
  },
];

export const structureFixtures: readonly Fixture[] = [
  ...boundaries,
  ...strays,
  ...trees,
  ...attachments,
  ...odds,
];
