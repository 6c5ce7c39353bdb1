import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { findAttachmentContent } from '../../src/core/attachment-content.ts';
import { normalize } from '../../src/core/normalize.ts';
import { bytesOf, multipart, rawMail } from '../support/raw-mail.ts';

const PNG = Buffer.from('89504e470d0a1a0a00ff00', 'hex');
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const base64Part = (headers: string, content: Uint8Array) =>
  `${headers}\nContent-Transfer-Encoding: base64\n\n${Buffer.from(content).toString('base64')}`;

const attached = 'Content-Disposition: attachment; filename';
const mail = multipart('mixed', [
  'Content-Type: text/plain\n\nSee below.',
  base64Part(`Content-Type: application/pdf\n${attached}=a.pdf`, Buffer.from('%PDF-1.7\0')),
  base64Part(`Content-Type: image/png; name="=?utf-8?Q?gr=C3=BC=C3=9Fe.png?="`, PNG),
  `Content-Type: message/rfc822\n\nSubject: inner\n\nInner text\n`,
  `Content-Type: text/plain\n${attached}*=utf-8''%E2%82%AC.txt\n\neuro`,
  `Content-Type: ; x=y\n${attached}="a\tb"\n\n?`,
]);
const related = multipart('related', [
  'Content-Type: text/html\n\n<img src="cid:logo@example.com"><img src="cid:other@example.com">',
  base64Part('Content-Type: image/png\nContent-ID: <logo@example.com>', PNG),
  base64Part('Content-Type: image/png\nContent-ID: <other@example.com>\nContent-Disposition: inline', PNG),
  base64Part(
    'Content-Type: image/png\nContent-ID: <third@example.com>\nContent-Disposition: attachment',
    PNG,
  ),
]);

describe('the attachments of a message', () => {
  test('are listed in their order, with names decoded and hashes of their content', async () => {
    const { content } = await normalize(rawMail(mail), new Date(0));
    assert.equal(content.parse, 'ok');
    assert.deepEqual(
      content.attachments.map((found) => [found.index, found.contentType, found.filename, found.disposition]),
      [
        [0, 'application/pdf', 'a.pdf', 'attachment'],
        [1, 'image/png', 'grüße.png', 'attachment'],
        [2, 'message/rfc822', null, 'attachment'],
        [3, 'text/plain', '€.txt', 'attachment'],
        [4, 'application/octet-stream', 'a b', 'attachment'],
      ],
    );
    const [pdf, png] = content.attachments;
    assert.equal(pdf?.sha256, sha256(Buffer.from('%PDF-1.7\0')));
    assert.equal(pdf?.sizeBytes, 9);
    assert.equal(png?.sha256, sha256(PNG));
  });

  test('do not mix the text of an attached mail into the text', async () => {
    const { content } = await normalize(rawMail(mail), new Date(0));
    assert.equal(content.text, 'See below.\n');
  });

  test('are inline where the html shows them', async () => {
    const { content } = await normalize(rawMail(related), new Date(0));
    assert.deepEqual(
      content.attachments.map((found) => [found.contentId, found.disposition]),
      [
        ['logo@example.com', 'inline'],
        ['other@example.com', 'inline'],
        ['third@example.com', 'attachment'],
      ],
    );
  });
});

describe('findAttachmentContent', () => {
  for (const [name, text] of Object.entries({ mixed: mail, related }))
    test(`finds what normalize lists, by the same index: ${name}`, async () => {
      const { content } = await normalize(rawMail(text), new Date(0));
      for (const attachment of content.attachments) {
        const found = await findAttachmentContent(bytesOf(text), attachment.index);
        assert.deepEqual(found?.attachment, attachment);
        assert.equal(sha256(found?.content ?? Buffer.of()), attachment.sha256);
      }
    });

  test('gives the very bytes', async () => {
    const found = await findAttachmentContent(bytesOf(mail), 1);
    assert.deepEqual(Buffer.from(found?.content ?? []), PNG);
  });

  test('gives an attached mail as a mail', async () => {
    const found = await findAttachmentContent(bytesOf(mail), 2);
    assert.match(Buffer.from(found?.content ?? []).toString(), /^Subject: inner\r\n\r\nInner text/);
  });

  for (const index of [-1, 5, 0.5, Number.NaN])
    test(`finds nothing at ${index}`, async () =>
      assert.equal(await findAttachmentContent(bytesOf(mail), index), undefined));

  test('finds nothing in what cannot be parsed', async () => {
    assert.equal(await findAttachmentContent(bytesOf(`X: ${'x'.repeat(3_000_000)}\n\n`), 0), undefined);
    assert.equal(await findAttachmentContent(Buffer.of(), 0), undefined);
  });
});
