import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { normalize } from '../../src/core/normalize.ts';
import { rawMail } from '../support/raw-mail.ts';

/*
 * What is made to cost: CPU time and memory are bounded by the size of the mail, whatever it holds. Each mail has a
 * process of its own, so that its memory can be told: this file again, with the name of the mail.
 */
const SIZE_BYTES = 5_000_000;
/** Two or three times what the worst takes; a fifth of what a mail of 25 MB may. */
const MOST_CPU_MS = 1_500;
const MOST_GROWTH_BYTES = 6 * SIZE_BYTES + 64 * 1024 * 1024;

const mixed = 'Content-Type: multipart/mixed; boundary=b\n\n--b\n';
const nested = (depth: number, boundaryOf: (level: number) => string) =>
  Array.from(
    { length: depth },
    (_, level) => `Content-Type: multipart/mixed; boundary=${boundaryOf(level)}\n\n--${boundaryOf(level)}\n`,
  ).join('');
const sameStart = (length: number) => (level: number) => `${'b'.repeat(length)}${1_000 + level}`;

/** What a body of the size is filled with, what stands before, and behind. */
const mails: Record<string, [head: string, unit: string, tail?: string]> = {
  'a text of zeros': ['A: b\n\n', '\0'],
  'a text of lone surrogates': ['Content-Type: text/plain; charset=utf-16le\n\n', 'a\0\0\xd8'],
  'shifts of UTF-7': ['Content-Type: text/plain; charset=utf-7\n\n', '+2D0-'],
  'shifts of ISO-2022-KR': ['Content-Type: text/plain; charset=iso-2022-kr\n\n', '\x0e0!\x0f'],
  'shifts of HZ': ['Content-Type: text/plain; charset=hz-gb-2312\n\n', '~~~{0!~}'],
  'a text to escape beside html': [`${mixed}\n`, '"', '\n--b\nContent-Type: text/html\n\n<p>a\n--b--\n'],
  'html to resolve beside a text': [`${mixed}Content-Type: text/html\n\n`, '&amp;amp', '\n--b\n\na\n--b--\n'],
  'short lines that are nearly boundaries': [`${nested(100, sameStart(12))}\n`, `--${'b'.repeat(12)}\r\n`],
  'long lines that are nearly boundaries': [
    `${nested(100, sameStart(2_000))}\n`,
    `--${'b'.repeat(2_000)}\r\n`,
  ],
};

const [, , only] = process.argv;
const isMail = only !== undefined && Object.hasOwn(mails, only);
if (isMail) await measure(only);
else {
  for (const name of Object.keys(mails))
    test(`${name} take bounded time and memory`, async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, name], {
        // Else it would report as a test of the runner.
        env: { ...process.env, NODE_TEST_CONTEXT: undefined },
      });
      const { parse, cpuMs, growthBytes } = JSON.parse(stdout);
      assert.notEqual(parse, 'failed');
      assert.ok(cpuMs < MOST_CPU_MS, `took ${cpuMs} ms of CPU`);
      assert.ok(growthBytes < MOST_GROWTH_BYTES, `took ${growthBytes / 1e6} MB`);
    });
}

async function measure(name: string): Promise<void> {
  const [head, unit, tail = ''] = mails[name] ?? ['', ''];
  const wire = (text: string) => Buffer.from(text.replace(/\n/g, '\r\n'), 'latin1');
  const bytes = Buffer.concat([
    wire(head),
    Buffer.alloc(SIZE_BYTES, Buffer.from(unit, 'latin1')),
    wire(tail),
  ]);
  const rssBytes = process.memoryUsage.rss();
  const before = process.cpuUsage();
  const { content } = await normalize(rawMail(bytes), new Date(0));
  const { user, system } = process.cpuUsage(before);
  const growthBytes = process.resourceUsage().maxRSS * 1024 - rssBytes;
  console.log(JSON.stringify({ parse: content.parse, cpuMs: (user + system) / 1000, growthBytes }));
}
