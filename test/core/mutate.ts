import { createRandom, type Random } from '../support/random.ts';

type Mutation = (mail: Buffer, random: Random) => Buffer;

const LARGEST_BYTES = 256 * 1024;
/** One in so many may grow further. */
const HUGE_ONE_IN = 500;
const HUGE_BYTES = 2 * 1024 * 1024;
const LARGE_BYTES = 16 * 1024;

/** What matters to a parser, to be put anywhere. */
const TOKENS = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\n\n',
    '\r\r\n',
    '\0',
    '\t',
    ' ',
    '\x1b$B',
    '\x1b(B',
    '\xef\xbb\xbf',
    '\xff',
  ],
  ...[
    '=',
    '==',
    '=?',
    '?=',
    '=?utf-8?Q?',
    '=?gbk?B?',
    '=?iso-2022-jp?B?GyRC',
    '?==?',
    '=C3',
    '=\r\n',
    '%',
    "''",
  ],
  ...['"', '\\', '(', ')', '<', '>', ',', ';', ':', '@', '<a@b>', 'a@b,', 'g:', '=', '*', '*0*=', '*=utf-8'],
  ...[
    '--',
    '--b',
    '--b--',
    '--b\r\n',
    '; boundary=b',
    '; charset=',
    '; filename*1=',
    '; name="',
    'begin 644 a\r\n',
  ],
  ...['&#', '&#55357;', '<!--', '<style>', '<meta charset=', '+2D0-', '~{', '\x0e', 'From '],
  'Content-Type: multipart/mixed; boundary=b\r\n',
  'Content-Type: message/rfc822\r\n\r\n',
  'Content-Type: text/html; charset=utf-16\r\n',
  'Content-Transfer-Encoding: base64\r\n',
  'Content-Disposition: attachment; filename=',
].map((token) => Buffer.from(token, 'latin1'));

const CHARSETS =
  'utf-8 utf-7 utf-16 utf-16be us-ascii iso-8859-1 koi8-r gb18030 big5 euc-kr iso-2022-jp iso-2022-kr hz-gb-2312 klingon'.split(
    ' ',
  );
const ENCODINGS = ['7bit', '8bit', 'base64', 'quoted-printable', 'x-uuencode'];

const MUTATIONS: readonly Mutation[] = [
  flipBits,
  cut,
  (mail, random) =>
    onLines(mail, (lines) => insert(lines, random, Array(1 + random.below(20)).fill(lineOf(lines, random)))),
  (mail, random) =>
    onLines(mail, (lines) => insert(lines, random, lines.splice(random.below(lines.length), 1))),
  (mail, random) =>
    onLines(mail, (lines) => void lines.splice(random.below(lines.length), 1 + random.below(3))),
  swapHeaders,
  damageBoundary,
  (mail, random) => swapWord(mail, random, /charset="?([\w-]+)|=\?([\w-]+)\?/gi, CHARSETS),
  (mail, random) => swapWord(mail, random, /transfer-encoding: *([\w-]+)/gi, ENCODINGS),
  (mail, random) => insertBytes(mail, random, Buffer.alloc(1 + random.below(8))),
  (mail, random) => insertBytes(mail, random, random.pick(TOKENS)),
  repeatBlock,
  changeLineEnds,
];

/** As many mails as numbers, the same for the same seed and index; `mails` are what they are made of. */
export function mutantOf(mails: readonly Uint8Array[], seed: number, index: number): Uint8Array {
  const random = createRandom(seed + Math.imul(index + 1, 0x9e3779b1));
  let mail: Buffer = Buffer.from(pickSmall(mails, random));
  if (random.below(10) === 0) mail = splice(mail, Buffer.from(pickSmall(mails, random)), random);
  const isHuge = random.below(HUGE_ONE_IN) === 0;
  const largest = isHuge ? HUGE_BYTES : LARGEST_BYTES;
  for (let rounds = 1 + random.below(4); rounds > 0; rounds -= 1) {
    mail = random.pick(MUTATIONS)(mail, random).subarray(0, largest);
  }
  if (isHuge) mail = swell(mail, random).subarray(0, HUGE_BYTES);
  return Uint8Array.from(mail);
}

/** The few that are large take most of the time: one in ten of them will do. */
function pickSmall(mails: readonly Uint8Array[], random: Random): Uint8Array {
  const mail = random.pick(mails);
  return mail.length > LARGE_BYTES && random.below(10) > 0 ? random.pick(mails) : mail;
}

function flipBits(mail: Buffer, random: Random): Buffer {
  for (let flips = 1 + random.below(8); flips > 0 && mail.length > 0; flips -= 1) {
    const at = random.below(mail.length);
    mail[at] = (mail[at] ?? 0) ^ (1 << random.below(8));
  }
  return mail;
}

function cut(mail: Buffer, random: Random): Buffer {
  const from = random.below(mail.length + 1);
  const to = from + random.below(mail.length - from + 1);
  const kinds = [
    mail.subarray(0, from),
    mail.subarray(from),
    Buffer.concat([mail.subarray(0, from), mail.subarray(to)]),
  ];
  return random.pick(kinds);
}

function swapHeaders(mail: Buffer, random: Random): Buffer {
  return onLines(mail, (lines) => {
    const [one, two] = [random.below(Math.min(lines.length, 20)), random.below(Math.min(lines.length, 20))];
    const [first, second] = [lines[one] ?? '', lines[two] ?? ''];
    lines[one] = second;
    lines[two] = first;
  });
}

function damageBoundary(mail: Buffer, random: Random): Buffer {
  return onLines(mail, (lines) => {
    const places = lines.flatMap((line, at) => (line.startsWith('--') ? [at] : []));
    if (places.length === 0) return;
    const at = random.pick(places);
    const line = lines[at] ?? '';
    const kinds = [
      line.slice(1),
      `${line.trimEnd()} \t\r\n`,
      `${line.trimEnd()}--\r\n`,
      line.toUpperCase(),
      ` ${line}`,
      '',
    ];
    lines[at] = random.pick(kinds);
  });
}

function swapWord(mail: Buffer, random: Random, pattern: RegExp, words: readonly string[]): Buffer {
  const text = mail.toString('latin1').replace(pattern, (found, first?: string, second?: string) => {
    const word = first ?? second ?? '';
    return random.below(2) === 0 ? found : found.replace(word, random.pick(words));
  });
  return Buffer.from(text, 'latin1');
}

function insertBytes(mail: Buffer, random: Random, bytes: Buffer): Buffer {
  const at = random.below(mail.length + 1);
  return Buffer.concat([mail.subarray(0, at), bytes, mail.subarray(at)]);
}

function repeatBlock(mail: Buffer, random: Random): Buffer {
  const from = random.below(mail.length + 1);
  const block = mail.subarray(from, from + 1 + random.below(random.pick([8, 64, 1024])));
  return insertBytes(
    mail,
    random,
    Buffer.concat(Array(1 + random.below(random.pick([4, 40, 400]))).fill(block)),
  );
}

/** A block of it, so often that the mail is huge. */
function swell(mail: Buffer, random: Random): Buffer {
  const from = random.below(mail.length + 1);
  const block = mail.subarray(from, from + 1 + random.below(random.pick([8, 64, 1024])));
  if (block.length === 0) return mail;
  const size = random.below(HUGE_BYTES);
  return Buffer.concat([mail.subarray(0, from), Buffer.alloc(size, block), mail.subarray(from)]);
}

function changeLineEnds(mail: Buffer, random: Random): Buffer {
  const ends = random.pick([['\n'], ['\r'], ['\r\r\n'], ['\n', '\r\n'], ['\r', '\n', '\r\n']]);
  return Buffer.from(
    mail.toString('latin1').replace(/\r?\n/g, () => random.pick(ends)),
    'latin1',
  );
}

function splice(one: Buffer, other: Buffer, random: Random): Buffer {
  return Buffer.concat([
    one.subarray(0, random.below(one.length + 1)),
    other.subarray(random.below(other.length + 1)),
  ]);
}

function onLines(mail: Buffer, change: (lines: string[]) => void): Buffer {
  const lines = mail.toString('latin1').split(/(?<=\n)/);
  change(lines);
  return Buffer.from(lines.join(''), 'latin1');
}

function lineOf(lines: readonly string[], random: Random): string {
  return random.pick(lines);
}

function insert(lines: string[], random: Random, more: readonly string[]): void {
  lines.splice(random.below(lines.length + 1), 0, ...more);
}
