import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import MailComposer from 'nodemailer/lib/mail-composer';
import { normalize } from '../../src/core/normalize.ts';
import { rawMail } from '../support/raw-mail.ts';

/*
 * What nodemailer composes comes back: a peer that folds, encodes and splits in its own way. Raise the runs with
 * MAILGRESS_TEST_PROPERTY_RUNS.
 */
const RUNS = Number(process.env.MAILGRESS_TEST_PROPERTY_RUNS ?? 200);

/** Letters of many scripts, emoji, and what has a meaning in headers. */
const character = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...'abcXYZ019 -_.') },
  { weight: 2, arbitrary: fc.constantFrom(...'éüßñøŽПривет你好こんにちはשלוםمرحباไทย€“”…') },
  { weight: 2, arbitrary: fc.constantFrom(...',;:<>()@"\'\\/=?*%&#![]{}|~^`$+') },
  { weight: 1, arbitrary: fc.constantFrom('😀', '👩‍💻', '🇫🇷', 'e\u0301', '\u00a0') },
);
/** On one line, without blanks at its ends or two together: headers make no promise about these. */
const words = (maxLength: number) =>
  fc.array(character, { maxLength }).map((characters) =>
    characters
      .join('')
      .replace(/[\s\u00a0]+/g, ' ')
      .trim(),
  );
const address = fc
  .tuple(
    fc.stringMatching(/^[a-z0-9]([a-z0-9.+_-]{0,14}[a-z0-9])?$/),
    fc.constantFrom('example.com', 'mail.example.org'),
  )
  .map(([local, domain]) => `${local.replace(/\.{2,}/g, '.')}@${domain}`);
const person = fc.record({ name: words(30), address }, { noNullPrototype: true });
const people = fc.array(person, { maxLength: 6 });
const body = fc
  .array(
    fc.oneof(
      { weight: 12, arbitrary: character },
      fc.constantFrom('\n', '\n\n', '.\n', '\nFrom ', '--\n', '\t'),
    ),
    {
      maxLength: 400,
    },
  )
  .map((pieces) => pieces.join(''));
/** Lines short enough for 7bit: nodemailer folds none. */
const plainText = fc
  .array(fc.oneof(fc.stringMatching(/^[ -~]{0,60}$/), fc.constantFrom('', '--', '--b', '.', ' ', 'From a')), {
    maxLength: 20,
  })
  .chain((lines) => fc.constantFrom('\r\n', '\n').map((end) => lines.join(end)));
const named = { filename: words(60).map((name) => name || 'file') };
const plainFile = fc.record({
  ...named,
  contentType: fc.constantFrom('text/csv', 'text/plain', 'application/json', 'message/rfc822'),
  // By itself nodemailer sends a mail in 7bit.
  contentTransferEncoding: fc.constantFrom('7bit' as const, 'quoted-printable' as const),
  content: plainText.map((text) => Buffer.from(text)),
});
const encodedFile = fc.record({
  ...named,
  // Content of any type is kept to the byte; that of an invitation is made UTF-8 by the parser.
  contentType: fc.constantFrom(
    'application/pdf',
    'image/png',
    'application/octet-stream',
    'text/csv',
    'text/plain',
  ),
  content: fc
    .oneof(
      fc.uint8Array({ maxLength: 3_000 }),
      plainText.map((text) => Buffer.from(text)),
    )
    .map(Buffer.from),
});
const file = fc.oneof(encodedFile, plainFile);
const mail = fc
  .record({
    from: person,
    to: people,
    cc: people,
    replyTo: people,
    subject: words(150),
    text: fc.option(body, { nil: undefined }),
    html: fc.option(
      body.map((text) => `<p>${text}</p>`),
      { nil: undefined },
    ),
    attachments: fc.array(file, { maxLength: 4 }),
    textEncoding: fc.constantFrom('quoted-printable' as const, 'base64' as const, undefined),
  })
  // A file alone is the whole mail, and its last line ended by nodemailer, if it is not.
  .map((given) =>
    given.html === undefined && given.attachments.length === 1
      ? { ...given, text: given.text || 'text' }
      : given,
  );

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
/** Every line of a text ends in LF; line ends behind the last one are not kept apart from those of the multipart. */
const linesOf = (text: string | null | undefined) => text?.replace(/\r\n/g, '\n').replace(/\n+$/, '');

test('what a program composes comes back', async () => {
  const property = fc.asyncProperty(mail, async (composed) => {
    const { textEncoding, ...options } = composed;
    const given = textEncoding === undefined ? options : { ...options, textEncoding };
    const bytes = await new MailComposer(given).compile().build();
    const { content } = await normalize(rawMail(bytes), new Date(0));

    assert.deepEqual(content.from, composed.from);
    assert.deepEqual(content.to, composed.to);
    assert.deepEqual(content.cc, composed.cc);
    assert.deepEqual(content.replyTo, composed.replyTo);
    assert.equal(content.subject ?? '', composed.subject);
    // A text of nothing is a part of nothing, or none.
    assert.equal(linesOf(content.text) ?? '', linesOf(composed.text) ?? '');
    assert.equal(linesOf(content.html) ?? '', linesOf(composed.html) ?? '');
    assert.deepEqual(
      content.attachments.map((found) => [found.filename, found.contentType, found.sizeBytes, found.sha256]),
      composed.attachments.map((sent) => [
        sent.filename,
        sent.contentType,
        sent.content.length,
        sha256(sent.content),
      ]),
    );
    assert.equal(content.parse, 'ok');
  });
  await fc.assert(property, { numRuns: RUNS });
});
