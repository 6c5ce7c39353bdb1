import { randomBytes } from 'node:crypto';
import { normalize } from '../src/core/normalize.ts';
import { rawMail } from '../test/support/raw-mail.ts';
import { mimeMail, plainMail } from './mails.ts';
import { measureReading } from './reading.ts';

/*
 * What normalize costs beside the parser alone, in CPU time.
 *
 *   node bench/normalize.ts             small mails and those of 25 MB
 *   node bench/normalize.ts --peak text one mail of 25 MB (text or attachment) in a process of its own: peak memory
 */
const LARGE_BYTES = 25 * 1024 * 1024;
const LARGE: Readonly<Record<string, () => Uint8Array>> = { text: largeText, attachment: largeAttachment };

const peakOf = process.argv[2] === '--peak' ? LARGE[process.argv[3] ?? ''] : undefined;
if (peakOf !== undefined) {
  await tellPeak(peakOf());
} else {
  await compare('plain mail of 1 kB', Buffer.from(plainMail(1)), 1_000, 25);
  await compare('MIME mail of 12 kB', Buffer.from(mimeMail(1)), 200, 25);
  await compare('attachment of 25 MB', largeAttachment(), 1, 3);
  await compare('text of 25 MB', largeText(), 1, 3);
}

async function compare(name: string, bytes: Uint8Array, rounds: number, turns: number): Promise<void> {
  const { parserUs, normalizeUs } = await measureReading(bytes, rounds, turns);
  const figures = `parser ${parserUs.toFixed(1)} us, normalize ${normalizeUs.toFixed(1)} us`;
  console.log(`${name}, ${bytes.length} B: ${figures}, ratio ${(normalizeUs / parserUs).toFixed(2)}`);
}

async function tellPeak(bytes: Uint8Array): Promise<void> {
  const before = process.memoryUsage().rss;
  const { content } = await normalize(rawMail(bytes), new Date());
  const growth = process.resourceUsage().maxRSS * 1024 - before;
  const times = (growth / bytes.length).toFixed(2);
  console.log(
    `${content.parse}: grew by ${(growth / 1e6).toFixed(0)} MB, ${times} times the mail beside itself`,
  );
}

function largeText(): Uint8Array {
  const head = 'Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n';
  return Buffer.from(
    head.padEnd(LARGE_BYTES, 'some words of a text that goes on until a line is long enough\r\n'),
  );
}

function largeAttachment(): Uint8Array {
  const line = `${randomBytes(57).toString('base64')}\r\n`;
  const head =
    'Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n--b\r\n' +
    'Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n';
  return Buffer.from(`${head.padEnd(LARGE_BYTES, line)}\r\n--b--\r\n`);
}
