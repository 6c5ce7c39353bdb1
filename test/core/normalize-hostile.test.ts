import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findAttachmentContent } from '../../src/core/attachment-content.ts';
import { dedupeKeyOf } from '../../src/core/dedupe.ts';
import { type MailContent, mailContentSchema } from '../../src/core/message.ts';
import { normalize } from '../../src/core/normalize.ts';
import { multipart, rawMail } from '../support/raw-mail.ts';

const whole = Buffer.from(
  multipart(
    'mixed',
    [
      'Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\nAAAA2A==',
      'Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n<p>=F0=9F=98=80&#55357;&#0;',
      "Content-Type: image/png\nContent-Disposition: inline; filename*0*=utf-8''a%00; filename*1=b\nContent-ID: <a@b>\n\nx",
      'Content-Type: message/rfc822\n\nSubject: inner\n\nx',
    ],
    'From: =?utf-16?B?2AA=?= <a@example.com>, b@example.com\nTo: Group: c@example.com;\nSubject: =?utf-8?Q?=00=ED=A0=80?=\n' +
      'Date: Mon, 1 Jan 2024 10:00:00 +0000\nMessage-ID: <1@example.com>\nReferences: <0@example.com>\n',
  ),
);

/** Bytes that are often what matters to a parser. */
const pointed = fc.constantFrom(...Buffer.from('\0\r\n\t :;,<>"()=?@-_*%&\x1b\xff\xed\xa0\x80', 'latin1'));
const noise = fc.uint8Array({ maxLength: 400 });
const nearMail = fc
  .array(fc.tuple(fc.nat(whole.length - 1), fc.oneof(pointed, fc.nat(255))), { maxLength: 30 })
  .map((edits) => {
    const mail = Uint8Array.from(whole);
    for (const [at, byte] of edits) mail[at] = byte;
    return mail;
  });
const cutMail = fc
  .tuple(fc.nat(whole.length), fc.nat(whole.length))
  .map(([from, to]) => whole.subarray(from, to));
/** Any UTF-16 units: half of a pair, and U+0000, among them. */
const anyText = fc
  .array(fc.oneof(fc.constantFrom(0, 0xd83d, 0xde00), fc.nat(0xffff)), { maxLength: 8 })
  .map((units) => String.fromCharCode(...units));

test('any bytes become a message that is valid and can be stored', async () => {
  const property = fc.asyncProperty(
    fc.oneof(
      noise,
      fc.array(pointed).map((bytes) => Uint8Array.from(bytes)),
      nearMail,
      cutMail,
    ),
    fc.record({
      truncated: fc.boolean(),
      providerId: fc.option(anyText),
      labels: fc.array(anyText),
      folder: fc.option(anyText),
      folderRole: fc.option(anyText),
      snippet: fc.option(anyText),
      internalDate: fc.option(fc.date({ noInvalidDate: false })),
    }),
    async (bytes, known) => {
      const mail = rawMail(bytes, known);
      const { content, fullText, fullHtml } = await normalize(mail, new Date(0));
      const stored = JSON.stringify({ content, fullText, fullHtml });
      assert.doesNotMatch(stored, /\\u0000|\\ud[89a-f]/);
      assert.ok(stored.isWellFormed());
      const parsed: MailContent = mailContentSchema.parse(content);
      assert.deepEqual(parsed, content);
      assert.equal(dedupeKeyOf(mail, content).length, 16);
      for (const attachment of content.attachments) {
        assert.deepEqual((await findAttachmentContent(bytes, attachment.index))?.attachment, attachment);
      }
    },
  );
  await fc.assert(property, { numRuns: 2_000, interruptAfterTimeLimit: 20_000 });
});

test('50 MB of text take seconds, not a minute', async () => {
  const line = 'some words of a text, 40 characters long\r\n';
  const bytes = Buffer.from('Content-Type: text/plain\r\n\r\n'.padEnd(50_000_000, line));
  const before = process.cpuUsage();
  const { content, fullText } = await normalize(rawMail(bytes), new Date(0));
  const { user, system } = process.cpuUsage(before);
  assert.equal(content.parse, 'ok');
  assert.ok((fullText?.length ?? 0) > 48_000_000);
  // About one; the parser by itself takes ten, and 30 times the memory.
  assert.ok((user + system) / 1e6 < 5, `took ${(user + system) / 1e6} s of CPU`);
});

test('thousands of parts deep inside long boundaries take no more time than elsewhere', async () => {
  const nested = Array.from({ length: 250 }, (_, level) => {
    const boundary = String(level).padEnd(1_900, 'b');
    return `Content-Type: multipart/mixed; boundary=${boundary}\n\n--${boundary}\n`;
  });
  const head = `${nested.join('')}Content-Type: multipart/mixed; boundary=c\n\n`;
  const bytes = Buffer.from(`${head}${'--c\n\na\n'.repeat(9_000)}--c--\n`);
  const before = process.threadCpuUsage();
  const { content } = await normalize(rawMail(bytes), new Date(0));
  const { user, system } = process.threadCpuUsage(before);
  assert.equal(content.parse, 'ok');
  assert.equal(content.text?.length, 9_000 * 3 - 1);
  // A fifth of it; by all boundaries for each part it was 20 s.
  assert.ok((user + system) / 1000 < 1_500, `took ${(user + system) / 1000} ms`);
});
