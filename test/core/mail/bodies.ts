import { bytes, type Fixture, textIn } from './fixture.ts';

const encoded = (transferEncoding: string, body: string) =>
  `Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: ${transferEncoding}\n\n${body}`;
const flowed = (params: string, body: string) => `Content-Type: text/plain; ${params}\n\n${body}`;
const html = (body: string) => `Content-Type: text/html; charset=utf-8\n\n${body}`;

/** Bodies, and the text they are; every line of a text ends in LF, the last too. */
const texts: [claim: string, mail: string | Uint8Array, text: string | null][] = [
  ['reads quoted-printable', encoded('quoted-printable', 'caf=C3=A9 =\nau lait'), 'café au lait\n'],
  ['reads quoted-printable in lower case', encoded('Quoted-Printable', 'caf=c3=a9'), 'café\n'],
  ['reads a soft break with blanks behind it', encoded('quoted-printable', 'one = \ntwo'), 'one two\n'],
  ['reads a soft break at the end', encoded('quoted-printable', 'one='), 'one'],
  ['keeps what is no escape', encoded('quoted-printable', '1=2 and =G1 and ='), '1=2 and =G1 and '],
  ['keeps unencoded bytes of quoted-printable', encoded('quoted-printable', 'café=20!'), 'café !\n'],
  ['reads encoded line breaks', encoded('quoted-printable', 'a=0D=0Ab'), 'a\r\nb\n'],
  ['reads an escape cut by the end', encoded('quoted-printable', 'a=C'), 'a=C\n'],
  ['reads base64', encoded('base64', 'Y2Fmw6k='), 'café'],
  [
    'reads base64 on one long line',
    encoded('base64', Buffer.from('é'.repeat(5000)).toString('base64')),
    'é'.repeat(5000),
  ],
  ['reads base64 with one character a line', encoded('base64', 'Y\n2\nF\nm'), 'caf'],
  ['reads base64 without padding', encoded('base64', 'Y2Fmw6k'), 'café'],
  ['reads base64 with rubbish between', encoded('base64', 'Y2!Fm\n---\nw6k='), 'café'],
  ['reads base64 padded line by line', encoded('base64', 'Y2Fmww==\nqQ=='), 'café'],
  ['reads an encoding in quotes', encoded('"base64"', 'Y2Fm'), 'caf'],
  ['reads an encoding with a comment', encoded('(of sorts) base64', 'Y2Fm'), 'caf'],
  ['reads an encoding nobody knows as it is', encoded('x-rot13', 'pnsr'), 'pnsr\n'],
  [
    'reads uuencode as it is',
    encoded('x-uuencode', 'begin 644 a\n#8V%F\n`\nend'),
    'begin 644 a\n#8V%F\n`\nend\n',
  ],
  ['reads an empty encoding as it is', encoded('', 'a=20b'), 'a=20b\n'],
  ['reads 8-bit in what says 7bit', encoded('7bit', 'café'), 'café\n'],
  ['reads 8-bit in what says nothing', 'Subject: a\n\ncafé', 'café\n'],
  ['reads binary', encoded('binary', 'café'), 'café\n'],
  ['keeps blank lines and blanks', 'A: b\n\n\n a \n\n\nb\t\n', '\n a \n\n\nb\t\n'],
  ['keeps a CR inside a line', Buffer.from('A: b\n\none\rtwo\n'), 'one\rtwo\n'],
  ['keeps dots that begin lines', 'A: b\n\n.\n..a\n', '.\n..a\n'],
  ['keeps a From that an mbox had escaped', 'A: b\n\n>From here on\n', '>From here on\n'],
  ['keeps dashes that are no boundary', 'A: b\n\n-- \nAda\n--b\n', '-- \nAda\n--b\n'],
  ['reads a line of 100,000 characters', `A: b\n\n${'é'.repeat(100_000)}`, `${'é'.repeat(100_000)}\n`],
  ['replaces U+0000', 'A: b\n\na\0b', 'a\ufffdb\n'],
  ['keeps escape sequences of a terminal', textIn('utf-8', '\x1b[31mred'), '\x1b[31mred\n'],
  ['has no text where the body is one blank line less', 'A: b\n\n', null],

  ['joins flowed lines', flowed('format=flowed', 'one \ntwo\nthree'), 'one two\nthree\n'],
  ['joins flowed lines without their space', flowed('format=flowed; delsp=yes', 'one \ntwo'), 'onetwo\n'],
  ['unstuffs flowed lines', flowed('format=flowed', ' From here\n  a'), 'From here\n a\n'],
  ['keeps the sign of a signature in flowed text', flowed('format=flowed', 'a\n-- \nAda'), 'a\n-- \nAda\n'],
  ['reads Format=Flowed', flowed('Format=Flowed', 'one \ntwo'), 'one two\n'],
  ['does not join lines of format=fixed', flowed('format=fixed', 'one \ntwo'), 'one \ntwo\n'],
  [
    'joins flowed lines in a charset that is mended',
    bytes('Content-Type: text/plain; charset=us-ascii; format=flowed\n\ncaf\xc3\xa9 \ntwo'),
    'café two\n',
  ],

  ['reads a type without a subtype', 'Content-Type: text\n\na', 'a\n'],
  ['reads an empty type', 'Content-Type:\n\na', 'a\n'],
  [
    'reads a type whose semicolon is missing',
    bytes('Content-Type: text/plain charset=koi8-r\n\n\xf0\xd2'),
    'Пр\n',
  ],
  [
    'reads a type with a comma for its semicolon',
    bytes('Content-Type: text/plain, charset=koi8-r\n\n\xf0\xd2'),
    'Пр\n',
  ],
  ['reads a type in capitals', 'Content-Type: TEXT/PLAIN\n\na', 'a\n'],
  ['reads a type with a comment', 'Content-Type: text/plain (as ever)\n\na', 'a\n'],
  ['reads the first of two types', 'Content-Type: text/plain\nContent-Type: text/html\n\na', 'a\n'],
  ['reads the text of a mail that names no MIME-Version', 'Content-Type: text/plain\n\na', 'a\n'],
  [
    'reads a PGP message as it is',
    'A: b\n\n-----BEGIN PGP MESSAGE-----\n\nhQ==\n-----END PGP MESSAGE-----\n',
    '-----BEGIN PGP MESSAGE-----\n\nhQ==\n-----END PGP MESSAGE-----\n',
  ],
];

/** HTML alone, and the first words that are read out of it. */
const snippets: [claim: string, html: string, snippet: string][] = [
  ['leaves out tags', '<p>Hello <b>Ada</b></p><p>news</p>', 'Hello Ada news'],
  ['leaves out styles, scripts and the title', '<title>t</title><style>p{}</style><script>x</script>a', 'a'],
  ['leaves out comments', 'a<!-- <p>b</p> -->c', 'ac'],
  ['reads references', '&lt;a&gt; &amp; &eacute; &#8364; &#x1f600; &nbsp;b', '<a> & é € 😀 b'],
  ['keeps references nobody knows', '&foo; &', '&foo; &'],
  ['replaces a reference to half a pair', '&#55357;', '\ufffd'],
  ['reads an unescaped bracket', '1 < 2', '1 < 2'],
  ['stops at a tag nobody closes', 'a<p', 'a'],
  ['leaves out a style nobody closes', 'a<style>b', 'a'],
  ['skips the padding of a preview', `a${'&nbsp;&zwnj;'.repeat(50)}b`, 'a b'],
  ['parts cells and lines', '<td>a</td><td>b</td><br>c', 'a b c'],
  ['skips empty cells', `${'<td> </td>'.repeat(500)}a`, 'a'],
  ['is empty for an image alone', '<img src="cid:a" alt="b">', ''],
  ['cuts at 200', 'a'.repeat(300), 'a'.repeat(200)],
  ['reads html that is text', 'just text', 'just text'],
];

export const bodyFixtures: readonly Fixture[] = [
  ...texts.map(
    ([name, mail, text]): Fixture => ({ name, mail, expect: { text, html: null, attachments: [] } }),
  ),
  ...snippets.map(
    ([claim, body, snippet]): Fixture => ({
      name: `${claim}, in a snippet of html`,
      mail: html(body),
      expect: { text: null, html: `${body}\n`, snippet, parse: 'ok' },
    }),
  ),
  {
    name: 'takes a snippet of the text, not of the html beside it',
    mail: 'Content-Type: multipart/alternative; boundary=b\n\n--b\n\nof text\n--b\nContent-Type: text/html\n\nof html\n--b--',
    expect: { text: 'of text\n', html: 'of html\n', snippet: 'of text' },
  },
  {
    name: 'takes a snippet of the html where the text is blank',
    mail: 'Content-Type: multipart/alternative; boundary=b\n\n--b\n\n \n--b\nContent-Type: text/html\n\nof html\n--b--',
    expect: { snippet: 'of html' },
  },
  {
    name: 'makes the blanks of a snippet single',
    mail: 'A: b\n\n\n\n  one\n\n\ttwo\u00a0 three \n',
    expect: { snippet: 'one two three' },
  },
  {
    name: 'splits no emoji at the end of a snippet',
    mail: `A: b\n\n${'a'.repeat(199)}😀`,
    expect: { snippet: 'a'.repeat(199) },
  },
  {
    name: 'cuts a long text',
    mail: `A: b\n\n${'0123456789\n'.repeat(40_000)}`,
    expect: { textTruncated: true, parse: 'ok' },
  },
];
