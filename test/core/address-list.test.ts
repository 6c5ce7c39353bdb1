import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { addressParser } from 'postal-mime';
import { parseAddressList } from '../../src/core/address-list.ts';

const word = fc.constantFrom('Ada', 'King', 'van', 'Müller', '山田', "O'Neil", 'J.', 'Team-2', '😀');
const words = fc.array(word, { minLength: 1, maxLength: 3 }).map((list) => list.join(' '));
/** Without `;`, at which the parser ends a group, in quotes too. */
const quoted = fc
  .array(fc.constantFrom('Ada', ' ', ',', ':', '<', '>', '(', ')', '\\"', '\\\\', '@', '.'), {
    minLength: 1,
  })
  .filter((parts) => parts.join('').trim() === parts.join('') && !/^[\\"]*$/.test(parts.join('')))
  .map((parts) => `"${parts.join('')}"`);
const encoded = fc
  .tuple(words, fc.constantFrom('B', 'Q'))
  .map(([text, encoding]) =>
    encoding === 'B'
      ? `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`
      : `=?utf-8?Q?${encodeURIComponent(text).replaceAll("'", '%27').replaceAll('%20', '_').replaceAll('%', '=')}?=`,
  );
const address = fc.constantFrom(
  'ada@example.com',
  'a.b+c@mail.example.org',
  'o_o@xn--exmple-cua.com',
  'ада@пример.рф',
  'a/b=c@example.com',
);
const mailbox = fc.oneof(
  address,
  fc.tuple(fc.oneof(words, quoted, encoded), address).map(([name, at]) => `${name} <${at}>`),
  fc.tuple(address, words).map(([at, name]) => `${at} (${name})`),
  fc.tuple(words, address).map(([name, at]) => `${name} <${at}> (at home)`),
  address.map((at) => `<${at}>`),
  words,
);
const list = (separator: string) => fc.array(mailbox, { maxLength: 4 }).map((all) => all.join(separator));
const group = fc.tuple(fc.oneof(words, quoted), list(', ')).map(([name, members]) => `${name}: ${members};`);
const header = fc
  .array(fc.oneof({ weight: 4, arbitrary: mailbox }, group), { maxLength: 6 })
  .chain((entries) => fc.constantFrom(', ', ',', ' , ', ',\t').map((separator) => entries.join(separator)));

const bare = (text: string) => text.replace(/["\\]/g, '');

describe('parseAddressList', () => {
  test('reads what mail has as the parser by itself does', () => {
    fc.assert(
      fc.property(header, (value) => assert.deepEqual(parseAddressList(value), addressParser(value))),
      { numRuns: 5_000 },
    );
  });

  // Without comments, which may stand inside an address and are none of it.
  test('makes no address up, whatever the text holds', () => {
    const token = fc.constantFrom(
      ...['"', '\\', '<', '>', ',', ';', ':', '@', '[', ']', ' ', 'a', 'é', '.', 'a@b', '=?utf-8?Q?', '?='],
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 40 }), (tokens) => {
        const value = tokens.join('');
        const entries = parseAddressList(value).flatMap((entry) => entry.group ?? [entry]);
        for (const { address } of entries) assert.ok(bare(value).includes(bare(address)));
      }),
      { numRuns: 5_000 },
    );
  });
});
