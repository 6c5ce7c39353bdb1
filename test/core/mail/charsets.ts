import { bytes, type Fixture, header, textIn } from './fixture.ts';

/** A word of each charset, as its bytes and as text. All were written for this table. */
const words: [charset: string, latin1: string, text: string][] = [
  ['koi8-r', '\xf0\xd2\xc9\xd7\xc5\xd4', 'Привет'],
  ['koi8-u', '\xa7\xa4', 'їє'],
  ['windows-1251', '\xcf\xf0\xe8\xe2\xe5\xf2', 'Привет'],
  ['iso-8859-5', '\xbf\xe0\xd8\xd2\xd5\xe2', 'Привет'],
  ['ibm866', '\x8f\xe0\xa8\xa2\xa5\xe2', 'Привет'],
  ['x-mac-cyrillic', '\x8f\xf0\xe8\xe2\xe5\xf2', 'Привет'],
  ['windows-1250', '\x8elu\x9dou\xe8k\xfd', 'Žluťoučký'],
  ['iso-8859-2', '\xaelu\xbbou\xe8k\xfd', 'Žluťoučký'],
  ['windows-1252', '\x93caf\xe9\x94 \x80', '“café” €'],
  ['iso-8859-15', 'caf\xe9 \xa4', 'café €'],
  ['macintosh', 'caf\x8e', 'café'],
  ['windows-1253', '\xc3\xe5\xe9\xdc', 'Γειά'],
  ['iso-8859-7', '\xc3\xe5\xe9\xdc', 'Γειά'],
  ['windows-1254', '\xdd\xfe\xfd\xf0', 'İşığ'],
  ['windows-1255', '\xf9\xec\xe5\xed', 'שלום'],
  ['iso-8859-8', '\xf9\xec\xe5\xed', 'שלום'],
  ['iso-8859-8-i', '\xf9\xec\xe5\xed', 'שלום'],
  ['windows-1256', '\xe3\xd1\xcd\xc8\xc7', 'مرحبا'],
  ['iso-8859-6', '\xe5\xd1\xcd\xc8\xc7', 'مرحبا'],
  ['windows-1257', '\xe0\xfe\xeb', 'ąžė'],
  ['iso-8859-4', '\xb1\xbe\xec', 'ąžė'],
  ['iso-8859-13', '\xe0\xfe\xeb', 'ąžė'],
  ['windows-1258', 'Vi\xea\xf2t', 'Vi\u00ea\u0323t'],
  ['windows-874', '\xe4\xb7\xc2', 'ไทย'],
  ['tis-620', '\xe4\xb7\xc2', 'ไทย'],
  ['iso-8859-3', '\xe6', 'ĉ'],
  ['iso-8859-10', '\xbf', 'ŋ'],
  ['iso-8859-14', '\xf0', 'ŵ'],
  ['iso-8859-16', '\xba', 'ș'],
  ['gb2312', '\xc4\xe3\xba\xc3', '你好'],
  ['gbk', '\xc4\xe3\xba\xc3', '你好'],
  ['gb18030', '\xc4\xe3\xba\xc3\x94\x39\xfc\x36', '你好😀'],
  ['big5', '\xa7\x41\xa6\x6e', '你好'],
  ['euc-kr', '\xbe\xc8\xb3\xe7', '안녕'],
  ['ks_c_5601-1987', '\xbe\xc8\xb3\xe7', '안녕'],
  ['shift_jis', '\x82\xb1\x82\xf1', 'こん'],
  ['cp932', '\x82\xb1\x82\xf1\x87\x40', 'こん①'],
  ['euc-jp', '\xa4\xb3\xa4\xf3', 'こん'],
  ['iso-2022-jp', '\x1b$B$3$s\x1b(B!', 'こん!'],
  ['iso-2022-kr', '\x1b$)C\x0e>H3g\x0f!', '안녕!'],
  ['hz-gb-2312', '~{VPND~}~~', '中文~'],
  ['utf-7', 'caf+AOk- +- +2D3eAA-', 'café + 😀'],
];

const bodies: Fixture[] = words.map(([charset, latin1, text]) => ({
  name: `reads a text in ${charset}`,
  mail: textIn(charset, latin1),
  expect: { text: `${text}\n`, snippet: text, parse: 'ok' },
}));

/** The same word three ways more, each charset one: what reads bodies, words and parameters is not one function. */
const elsewhere: Fixture[] = words
  .filter(([charset]) => !charset.startsWith('iso-8859-'))
  .map(([charset, latin1, text], index): Fixture => {
    const base64 = Buffer.from(latin1, 'latin1').toString('base64');
    if (index % 3 === 0)
      return {
        name: `reads a subject in ${charset}`,
        mail: header(`Subject: =?${charset}?B?${base64}?=`),
        expect: { subject: text, parse: 'ok' },
      };
    if (index % 3 === 1)
      return {
        name: `reads a name in ${charset}`,
        mail: header(`From: =?${charset.toUpperCase()}?b?${base64}?= <a@example.com>`),
        expect: { from: { name: text, address: 'a@example.com' } },
      };
    return {
      name: `reads an html in ${charset}, in base64`,
      mail: `Content-Type: text/html; charset="${charset}"\nContent-Transfer-Encoding: base64\n\n${base64}\n`,
      expect: { html: text, text: null, snippet: text },
    };
  });

const unnamed: Fixture[] = [
  {
    name: 'takes a text without a charset for UTF-8',
    mail: 'Subject: x\n\ncafé €',
    expect: { text: 'café €\n' },
  },
  {
    name: 'takes a text without a charset, not in UTF-8, for windows-1252',
    mail: bytes('Subject: x\n\ncaf\xe9 \x80'),
    expect: { text: 'café €\n', parse: 'ok' },
  },
  {
    name: 'takes an html without a charset for what its head says',
    mail: bytes('Content-Type: text/html\n\n<meta charset=windows-1251><p>\xcf\xf0\xe8'),
    expect: { html: '<meta charset=windows-1251><p>При\n', snippet: 'При' },
  },
  {
    name: 'reads the charset out of an http-equiv',
    mail: bytes(
      'Content-Type: text/html\n\n<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=koi8-r">\xf0\xd2\xc9',
    ),
    expect: { snippet: 'При' },
  },
  {
    name: 'believes the bytes of an html more than its head',
    mail: 'Content-Type: text/html\n\n<meta charset=iso-8859-1>café',
    expect: { snippet: 'café' },
  },
  {
    name: 'believes the header more than the head of an html',
    mail: textIn('koi8-r', '<meta charset=windows-1251>\xf0\xd2\xc9', 'text/html'),
    expect: { snippet: 'При' },
  },
];

const mislabelled: Fixture[] = [
  {
    name: 'reads latin1 that says to be UTF-8',
    mail: textIn('utf-8', 'caf\xe9 cr\xe8me'),
    expect: { text: 'café crème\n', parse: 'ok' },
  },
  {
    name: 'reads windows-1252 that says to be UTF-8, curly quotes and all',
    mail: textIn('UTF8', '\x93quoted\x94 \x96 \x80'),
    expect: { text: '“quoted” – €\n' },
  },
  {
    name: 'keeps UTF-8 that was cut inside a character',
    mail: textIn('utf-8', 'caf\xc3\xa9 caf\xc3'),
    expect: { text: 'café caf\ufffd\n', parse: 'ok' },
  },
  {
    name: 'keeps a U+FFFD that was sent',
    mail: textIn('utf-8', 'a\xef\xbf\xbdb'),
    expect: { text: 'a\ufffdb\n' },
  },
  {
    name: 'reads UTF-8 that says to be ASCII',
    mail: textIn('us-ascii', 'caf\xc3\xa9'),
    expect: { text: 'café\n' },
  },
  {
    name: 'reads windows-1252 that says to be ASCII',
    mail: textIn('us-ascii', 'caf\xe9 \x80'),
    expect: { text: 'café €\n' },
  },
  {
    name: 'reads the bytes above latin1 of what says to be iso-8859-1 as windows-1252',
    mail: textIn('iso-8859-1', '\x93a\x94'),
    expect: { text: '“a”\n' },
  },
  {
    // Believed: to guess here would break "Ã©" where it is meant.
    name: 'believes iso-8859-1 though the bytes are valid UTF-8',
    mail: textIn('iso-8859-1', 'caf\xc3\xa9'),
    expect: { text: 'cafÃ©\n' },
  },
  {
    name: 'reads gb18030 that says to be gb2312',
    mail: textIn('gb2312', '\x94\x39\xfc\x36'),
    expect: { text: '😀\n' },
  },
  {
    name: 'leaves U+FFFD for bytes that are no Shift_JIS',
    mail: textIn('shift_jis', '\x82\xb1\xff'),
    expect: { text: 'こ\ufffd\n', parse: 'ok' },
  },
];

const names: Fixture[] = [
  {
    name: 'reads UTF-8 under a name nobody knows',
    mail: textIn('klingon', 'caf\xc3\xa9'),
    expect: { text: 'café\n' },
  },
  {
    name: 'reads windows-1252 under a name nobody knows',
    mail: textIn('x-unknown', 'caf\xe9'),
    expect: { text: 'café\n' },
  },
  {
    name: 'reads unknown-8bit',
    mail: textIn('unknown-8bit', 'caf\xc3\xa9'),
    expect: { text: 'café\n' },
  },
  {
    name: 'reads the UTF-8 of a database (utf8mb4)',
    mail: textIn('utf8mb4', 'caf\xc3\xa9'),
    expect: { text: 'café\n' },
  },
  { name: 'reads a charset in capitals', mail: textIn('KOI8-R', '\xf0\xd2'), expect: { text: 'Пр\n' } },
  { name: 'reads a charset in quotes', mail: textIn('"koi8-r"', '\xf0\xd2'), expect: { text: 'Пр\n' } },
  {
    name: 'reads a charset whose quote is not closed',
    mail: textIn('"koi8-r', '\xf0\xd2'),
    expect: { text: 'Пр\n' },
  },
  {
    name: 'reads a charset with blanks around it',
    mail: bytes('Content-Type: text/plain ; charset = koi8-r ; format=fixed\n\n\xf0\xd2'),
    expect: { text: 'Пр\n' },
  },
  {
    name: 'reads a charset with a comment behind it',
    mail: bytes('Content-Type: text/plain; charset=koi8-r (Cyrillic)\n\n\xf0\xd2'),
    expect: { text: 'Пр\n' },
  },
  { name: 'reads cp1251', mail: textIn('cp1251', '\xcf\xf0'), expect: { text: 'Пр\n' } },
  { name: 'reads x-sjis', mail: textIn('x-sjis', '\x82\xb1'), expect: { text: 'こ\n' } },
  { name: 'reads cp949', mail: textIn('cp949', '\xbe\xc8'), expect: { text: '안\n' } },
  {
    name: 'reads latin1 by its alias',
    mail: textIn('ISO_8859-1:1987', 'caf\xe9'),
    expect: { text: 'café\n' },
  },
  {
    name: 'reads the first of two charsets',
    mail: bytes('Content-Type: text/plain; charset=koi8-r; charset=utf-8\n\n\xf0\xd2'),
    expect: { text: 'Пр\n' },
  },
  {
    // The tables of DOS are not in the Encoding Standard: windows-1252 stands in, wrongly.
    name: 'does not know cp850',
    mail: textIn('cp850', 'caf\x82'),
    expect: { text: 'caf‚\n', parse: 'ok' },
  },
];

const unicode: Fixture[] = [
  {
    name: 'drops the byte order mark of UTF-8',
    mail: textIn('utf-8', '\xef\xbb\xbfcaf\xc3\xa9'),
    expect: { text: 'café\n' },
  },
  {
    name: 'reads UTF-16 with a big-endian mark',
    mail: 'Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\n/v8AYQBi',
    expect: { text: 'ab' },
  },
  {
    name: 'reads UTF-16 with a little-endian mark',
    mail: 'Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\n//5hAGIA',
    expect: { text: 'ab' },
  },
  {
    name: 'reads UTF-16 without a mark, big-endian',
    mail: 'Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\nAGEAYg==',
    expect: { text: 'ab' },
  },
  {
    name: 'reads UTF-16 without a mark, little-endian',
    mail: 'Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\nYQBiAA==',
    expect: { text: 'ab' },
  },
  {
    name: 'reads utf-16be',
    mail: 'Content-Type: text/plain; charset=utf-16be\nContent-Transfer-Encoding: base64\n\nAGEAYg==',
    expect: { text: 'ab' },
  },
  {
    name: 'keeps a plus that is no shift of UTF-7',
    mail: textIn('utf-7', '1 + 1 +- 2'),
    expect: { text: '1 + 1 + 2\n' },
  },
  {
    name: 'replaces half a pair in UTF-7',
    mail: textIn('utf-7', '+2D0-'),
    expect: { text: '\ufffd\n' },
  },
  {
    name: 'reads half-width katakana in iso-2022-jp',
    mail: textIn('iso-2022-jp', '\x1b(I1\x1b(B'),
    expect: { text: 'ｱ\n' },
  },
  {
    name: 'ends a shift of HZ at the end of a line',
    mail: textIn('hz-gb-2312', '~{VPND\nab'),
    expect: { text: '中文\nab\n' },
  },
];

export const charsetFixtures: readonly Fixture[] = [
  ...bodies,
  ...elsewhere,
  ...unnamed,
  ...mislabelled,
  ...names,
  ...unicode,
];
