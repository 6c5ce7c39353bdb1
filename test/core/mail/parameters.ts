import { bytes, type Fixture, withPart } from './fixture.ts';

/** Content-Disposition as it came, and the file name in it. */
const dispositions: [claim: string, disposition: string, filename: string | null][] = [
  ['reads a name', 'attachment; filename=a.pdf', 'a.pdf'],
  ['reads a name in quotes', 'attachment; filename="a b.pdf"', 'a b.pdf'],
  ['reads a name with blanks that is not quoted', 'attachment; filename=a b.pdf', 'a b.pdf'],
  ['reads a name whose quote is not closed', 'attachment; filename="a b.pdf', 'a b.pdf'],
  ['reads a name with blanks around the equals sign', 'attachment; filename = "a.pdf"', 'a.pdf'],
  ['reads a name in capitals', 'ATTACHMENT; FILENAME="A.PDF"', 'A.PDF'],
  ['reads a name with a semicolon in quotes', 'attachment; filename="a;b.pdf"', 'a;b.pdf'],
  ['reads an escaped quote', 'attachment; filename="a \\"b\\".pdf"', 'a "b".pdf'],
  ['reads parentheses as part of a name', 'attachment; filename=a(1).pdf', 'a(1).pdf'],
  ['leaves out a comment', 'attachment (see below); filename=a.pdf', 'a.pdf'],
  ['reads a folded name', 'attachment;\n\tfilename="a.pdf"', 'a.pdf'],
  ['reads a name folded inside, with its blank', 'attachment; filename="a\n b.pdf"', 'a b.pdf'],
  ['takes an empty name for none', 'attachment; filename=""', null],
  ['reads the first of two names', 'attachment; filename=a.pdf; filename=b.pdf', 'a.pdf'],
  ['skips an empty parameter', 'attachment;; filename=a.pdf;', 'a.pdf'],
  ['skips a parameter without a value', 'attachment; flag; filename=a.pdf', 'a.pdf'],
  ['keeps the path in a name', 'attachment; filename="../../a.pdf"', '../../a.pdf'],
  // RFC 2045 has a backslash in quotes escape what follows; programs of Windows do not know.
  ['loses the backslashes of a path in quotes', 'attachment; filename="C:\\dir\\a.pdf"', 'C:dira.pdf'],
  ['keeps the backslashes of a path without quotes', 'attachment; filename=C:\\dir\\a.pdf', 'C:\\dir\\a.pdf'],
  ['reads UTF-8 that is not encoded', 'attachment; filename="grüße.pdf"', 'grüße.pdf'],
  ['reads an emoji that is not encoded', 'attachment; filename=😀.pdf', '😀.pdf'],

  ['reads an extended name', "attachment; filename*=utf-8''gr%C3%BC%C3%9Fe.pdf", 'grüße.pdf'],
  ['reads an extended name in latin1', "attachment; filename*=iso-8859-1'de'gr%FC%DFe.pdf", 'grüße.pdf'],
  ['reads an extended name in koi8-r', "attachment; filename*=KOI8-R''%F0%D2.pdf", 'Пр.pdf'],
  ['reads an extended name without a charset', "attachment; filename*=''caf%C3%A9.pdf", 'café.pdf'],
  ['reads an extended name without its quotes', 'attachment; filename*=caf%C3%A9.pdf', 'café.pdf'],
  [
    'reads an extended name in quotes, which it may not stand in',
    'attachment; filename*="utf-8\'\'caf%C3%A9.pdf"',
    'café.pdf',
  ],
  ['keeps a percent sign that escapes nothing', "attachment; filename*=utf-8''100%.pdf", '100%.pdf'],
  ['keeps percent signs of a plain name', 'attachment; filename="100%20.pdf"', '100%20.pdf'],
  ['reads an apostrophe in an extended name', "attachment; filename*=utf-8''it's.pdf", "it's.pdf"],
  [
    'prefers the extended name',
    'attachment; filename="cafe.pdf"; filename*=utf-8\'\'caf%C3%A9.pdf',
    'café.pdf',
  ],
  [
    'prefers the extended name that stands first',
    "attachment; filename*=utf-8''caf%C3%A9.pdf; filename=cafe.pdf",
    'café.pdf',
  ],
  ['reads a name in two', 'attachment; filename*0=one-; filename*1=two.pdf', 'one-two.pdf'],
  ['keeps the blank between two', 'attachment; filename*0="one "; filename*1="two.pdf"', 'one two.pdf'],
  [
    'reads a name in three that came out of order',
    'attachment; filename*2=c.pdf; filename*0=a; filename*1=b',
    'abc.pdf',
  ],
  [
    'reads a name in eleven by number, not by letter',
    `attachment; ${Array.from({ length: 11 }, (_, i) => `filename*${i}=${i}.`).join('; ')}`,
    '0.1.2.3.4.5.6.7.8.9.10.',
  ],
  [
    'reads an extended name in two',
    "attachment; filename*0*=utf-8''gr%C3%BC; filename*1*=%C3%9Fe.pdf",
    'grüße.pdf',
  ],
  [
    'joins a character split between two',
    "attachment; filename*0*=utf-8''caf%C3; filename*1*=%A9.pdf",
    'café.pdf',
  ],
  [
    'reads a name extended in one of two',
    "attachment; filename*0*=utf-8''caf%C3%A9; filename*1=-100%25.pdf",
    'café-100%25.pdf',
  ],
  ['reads a name whose second is missing', 'attachment; filename*0=a; filename*2=c.pdf', 'ac.pdf'],
  ['reads a name that begins with its second', 'attachment; filename*1=b.pdf', 'b.pdf'],
  [
    'reads a name whose charset stands in the second, as it is',
    "attachment; filename*0=a; filename*1*=utf-8''b.pdf",
    "autf-8''b.pdf",
  ],
  [
    'leaves U+FFFD for what is not in the charset',
    "attachment; filename*=utf-8''caf%E9.pdf",
    'caf\ufffd.pdf',
  ],

  ['reads an encoded word', 'attachment; filename="=?utf-8?Q?caf=C3=A9.pdf?="', 'café.pdf'],
  ['reads an encoded word without quotes', 'attachment; filename==?utf-8?Q?caf=C3=A9.pdf?=', 'café.pdf'],
  ['reads an encoded word in B', 'attachment; filename="=?utf-8?B?Y2Fmw6kucGRm?="', 'café.pdf'],
  [
    'reads two encoded words, folded',
    'attachment; filename="=?utf-8?Q?caf=C3?=\n =?utf-8?Q?=A9.pdf?="',
    'café.pdf',
  ],
  [
    'reads an encoded word cut into continuations',
    'attachment; filename*0="=?utf-8?B?Y2Fm"; filename*1="w6kucGRm?="',
    'café.pdf',
  ],
  ['reads an encoded word in an extended name', "attachment; filename*=utf-8''=?utf-8?Q?a=2Epdf?=", 'a.pdf'],
  ['reads an encoded word that was cut', 'attachment; filename="=?utf-8?B?Y2Fmw6kucGRm"', 'café.pdf'],
  ['reads a word of ASCII that is UTF-8', 'attachment; filename="=?us-ascii?Q?caf=C3=A9?="', 'café'],
  ['reads padded words of one name', 'attachment; filename="=?utf-8?B?Y2Fmww==?= =?utf-8?B?qQ==?="', 'café'],
];

const png = (type: string, disposition = '') => withPart(`Content-Type: ${type}\n${disposition}\nx`);

const types: [claim: string, mail: string | Uint8Array, filename: string | null][] = [
  ['reads a name of the type', png('image/png; name=a.png'), 'a.png'],
  [
    'prefers the name of the disposition',
    png('image/png; name=a.png', 'Content-Disposition: inline; filename=b.png\n'),
    'b.png',
  ],
  [
    'falls back to the name of the type',
    png('image/png; name=a.png', 'Content-Disposition: attachment\n'),
    'a.png',
  ],
  ['reads an extended name of the type', png("image/png; name*=utf-8''caf%C3%A9.png"), 'café.png'],
  ['reads an encoded name of the type', png('image/png; name="=?iso-8859-1?Q?caf=E9.png?="'), 'café.png'],
  ['knows no name', png('image/png'), null],
  [
    'reads a name in raw latin1',
    bytes(withPart('Content-Type: image/png\nContent-Disposition: attachment; filename="caf\xe9.png"\n\nx')),
    'café.png',
  ],
  [
    'reads a name in raw koi8-r, as the charset of the text beside it',
    bytes(
      'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=koi8-r\n\nx\n' +
        '--b\nContent-Type: image/png; name="\xf0\xd2.png"\n\nx\n--b--\n',
    ),
    'Пр.png',
  ],
];

export const parameterFixtures: readonly Fixture[] = [
  ...dispositions.map(
    ([claim, disposition, filename]): Fixture => ({
      name: `${claim}, of a file`,
      mail: withPart(`Content-Type: application/pdf\nContent-Disposition: ${disposition}\n\nx`),
      expect: {
        attachments: [{ filename, disposition: 'attachment', contentType: 'application/pdf' }],
        parse: 'ok',
      },
    }),
  ),
  ...types.map(
    ([name, mail, filename]): Fixture => ({
      name,
      mail,
      expect: { attachments: [{ filename }], parse: 'ok' },
    }),
  ),
];
