import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import PostalMime from 'postal-mime';
import { createContentDecoder } from '../../src/core/content-decoders.ts';
import { parseMime } from '../../src/core/mime.ts';
import { multipart } from '../support/raw-mail.ts';

async function decode(transferEncoding: string, lines: readonly string[]): Promise<string> {
  const decoder = createContentDecoder(transferEncoding);
  for (const line of lines) decoder.update(Buffer.from(line, 'latin1'));
  return Buffer.from(await decoder.finalize()).toString('latin1');
}

describe('createContentDecoder', () => {
  const table: [string, string, string[], string][] = [
    ['keeps lines as they are', '8bit', ['a=20 ', '', 'b'], 'a=20 \n\nb\n'],
    ['keeps what nobody named', '', ['a'], 'a\n'],
    ['keeps what has an unknown name', 'x-uuencode', ['a'], 'a\n'],
    ['gives nothing for no line', '7bit', [], ''],
    ['reads quoted-printable', 'quoted-printable', ['a=C3=a9b', 'c'], 'a\xc3\xa9b\nc\n'],
    ['joins softly broken lines', 'quoted-printable', ['a=', 'b'], 'ab\n'],
    ['joins where blanks came behind the break', 'quoted-printable', ['a= \t', 'b'], 'ab\n'],
    ['keeps what is no escape', 'quoted-printable', ['a=zz=4', '=', 'x=4'], 'a=zz=4\nx=4\n'],
    ['keeps a digit parted from its escape', 'quoted-printable', ['a=4=', '1'], 'a=41\n'],
    ['keeps blanks at the end of a line', 'quoted-printable', ['-- ', 'a'], '-- \na\n'],
    ['reads base64', 'base64', ['SGVs', 'bG8='], 'Hello'],
    ['reads base64 in whatever case it is named', ' "Base64" ', ['SGVsbG8='], 'Hello'],
    ['reads base64 whose groups go over lines', 'base64', ['SG', 'VsbG', '8='], 'Hello'],
    ['reads base64 without its padding', 'base64', ['SGVsbG8'], 'Hello'],
    ['reads base64 that was padded in between', 'base64', ['SGVsbG8=SGk=', 'SGk='], 'HelloHiHi'],
    ['skips what is not of the alphabet', 'base64', ['S-G V_s\xff', '!bG8='], 'Hello'],
    ['drops a group of one character', 'base64', ['SGVsbG8=S'], 'Hello'],
    ['takes padding alone for nothing', 'base64', ['====', '='], ''],
  ];
  for (const [claim, transferEncoding, lines, expected] of table)
    test(claim, async () => assert.equal(await decode(transferEncoding, lines), expected));
});

test('keeps the end of a line as it came, but for the last', async () => {
  for (const transferEncoding of ['7bit', 'quoted-printable']) {
    let line = '';
    const source = () => ({ bytes: Buffer.from(line), isLast: false });
    const decoder = createContentDecoder(transferEncoding, source);
    for (line of ['a\r\n', 'b\n', '\r\n']) decoder.update(Buffer.from(line.trimEnd()));
    assert.equal(Buffer.from(await decoder.finalize()).toString(), 'a\r\nb\n', transferEncoding);
  }
});

/** Whatever is in a body; no `=` before blanks at the end of a line, where the parser is wrong. */
const body = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '=',
        '\r\n',
        '\n',
        '\r',
        '=3D',
        '=\r\n',
        '--frontier\r\n\r\n',
        '-',
        '\0',
        'é',
        'SGVsbG8=',
        ' ',
      ),
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.base64String({ maxLength: 300 }),
    ),
    { maxLength: 30 },
  )
  .map((pieces) => pieces.join('').replace(/=+(?=[ \t]+\r*(?:\n|$))/g, ''));

test('a text is what the parser by itself makes of it, and a file in base64', async () => {
  const encoding = fc.constantFrom('7bit', 'quoted-printable', 'base64', '');
  const property = fc.asyncProperty(fc.array(fc.tuple(encoding, body), { maxLength: 4 }), async (parts) => {
    const texts = parts.map(([name, text], index) => {
      const type = index % 2 === 1 && name === 'base64' ? 'image/png' : 'text/plain; charset=iso-8859-1';
      return `Content-Type: ${type}\nContent-Transfer-Encoding: ${name}\n\n${text}`;
    });
    const mail = Buffer.from(multipart('mixed', texts));
    const expected = await PostalMime.parse(mail, { forceRfc822Attachments: true });
    const { isWhole, ...email } = await parseMime(mail);
    assert.deepEqual(email, expected);
    assert.ok(isWhole);
  });
  await fc.assert(property, { numRuns: 500, interruptAfterTimeLimit: 20_000 });
});
