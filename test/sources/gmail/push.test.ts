import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MailgressError } from '../../../src/core/errors.ts';
import { parsePush } from '../../../src/sources/gmail/push.ts';

const parse = (body: string | Uint8Array) => parsePush(Buffer.from(body));
const payloadOf = (historyId: string, address = 'me@example.com') =>
  `{"emailAddress": ${JSON.stringify(address)}, "historyId": ${historyId}}`;
/** As Pub/Sub documents it. */
const envelope = (data: unknown) =>
  JSON.stringify({
    message: {
      attributes: { key: 'value' },
      data,
      messageId: '2070443601311540',
      message_id: '2070443601311540',
      publishTime: '2021-02-26T19:13:55.749Z',
      publish_time: '2021-02-26T19:13:55.749Z',
    },
    subscription: 'projects/myproject/subscriptions/mysubscription',
    deliveryAttempt: 5,
  });
const wrap = (payload: string) => envelope(Buffer.from(payload).toString('base64'));

test('reads the envelope of the Gmail guide', () => {
  // https://developers.google.com/workspace/gmail/api/guides/push, its data with the padding it lacks there.
  const data = 'eyJlbWFpbEFkZHJlc3MiOiAidXNlckBleGFtcGxlLmNvbSIsICJoaXN0b3J5SWQiOiAiMTIzNDU2Nzg5MCJ9';
  assert.deepEqual(parse(envelope(data)), { address: 'user@example.com', historyId: '1234567890' });
});

test('reads the unwrapped form, and addresses in lower case', () => {
  assert.deepEqual(parse(payloadOf('"42"', 'Me.And.You@Example.COM')), {
    address: 'me.and.you@example.com',
    historyId: '42',
  });
});

test('reads every alphabet and padding of base64', () => {
  // Bytes whose base64 has + and /, in strings of every length modulo 3.
  for (const address of ['me?>~@example.com', 'me?>~~@example.com', 'me?>~~~@example.com']) {
    const bytes = Buffer.from(payloadOf('7', address));
    const plain = bytes.toString('base64');
    for (const data of [plain, plain.replace(/=+$/, ''), bytes.toString('base64url')]) {
      assert.equal(parse(envelope(data)).address, address);
    }
  }
});

describe('keeps every digit of a history id', () => {
  const table: [string, string][] = [
    ['0', '0'],
    ['9007199254740993', '9007199254740993'],
    ['18446744073709551615', '18446744073709551615'],
    ['123456789012345678901', '123456789012345678901'],
    ['9'.repeat(40), '9'.repeat(40)],
    ['"9007199254740993"', '9007199254740993'],
    ['"123456789012345678901"', '123456789012345678901'],
    ['"007"', '7'],
    ['"000"', '0'],
  ];
  for (const [written, historyId] of table) {
    test(written, () => {
      assert.equal(parse(payloadOf(written)).historyId, historyId);
      assert.equal(parse(wrap(payloadOf(written))).historyId, historyId);
    });
  }

  test('any, as number and string, wrapped and not', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 40n - 1n), (id) => {
        for (const written of [`${id}`, `"${id}"`]) {
          for (const body of [payloadOf(written), wrap(payloadOf(written))]) {
            assert.equal(parse(body).historyId, `${id}`);
          }
        }
      }),
    );
  });
});

describe('refuses', () => {
  const bad: Record<string, string | Uint8Array> = {
    nothing: '',
    'no JSON': '{"emailAddress": ',
    'no UTF-8': Buffer.from([0x22, 0xff, 0x22]),
    null: 'null',
    'a list': '[]',
    'a string': '"me@example.com"',
    'an empty object': '{}',
    'arrays in arrays': '['.repeat(100_000) + ']'.repeat(100_000),
    'a message that is null': '{"message": null}',
    'a message without data': '{"message": {"attributes": {}}}',
    'data that are no string': envelope(5),
    'data that are empty': envelope(''),
    'data that are no base64': envelope('{"emailAddress"}'),
    'data with blanks': envelope(`${Buffer.from(payloadOf('1')).toString('base64').slice(0, 20)} AAA`),
    'data beyond ASCII': envelope('é'.repeat(8)),
    'data cut within a byte': envelope(Buffer.from(payloadOf('12')).toString('base64url').slice(0, -3)),
    'data padded too much': envelope(`${Buffer.from(payloadOf('1')).toString('base64')}=`),
    'data that are no JSON': wrap('hello'),
    'data that are no UTF-8': envelope(Buffer.from([0xff, 0xfe]).toString('base64')),
    'data that are a list': wrap('[]'),
    'an envelope in an envelope': wrap(wrap(payloadOf('1'))),
    'no address': '{"historyId": 1}',
    'an empty address': payloadOf('1', ''),
    'an address without @': payloadOf('1', 'example.com'),
    'an address with a blank': payloadOf('1', 'a b@example.com'),
    'an address with U+0000': payloadOf('1', 'a\0@example.com'),
    'an address of 321 characters': payloadOf('1', `${'a'.repeat(309)}@example.com`),
    'an address that is a list': '{"emailAddress": ["me@example.com"], "historyId": 1}',
    'no history id': '{"emailAddress": "me@example.com"}',
  };
  const badIds: Record<string, string> = {
    'one that is null': 'null',
    'one that is true': 'true',
    'one that is a list': '[1]',
    'a negative one': '-5',
    'a negative string': '"-5"',
    'minus zero': '-0',
    'a float': '1.5',
    'a float that is whole': '1.0',
    'an exponent': '1e5',
    'an exponent beyond all': '1e999',
    'an exponent in a string': '"1e5"',
    'hex in a string': '"0x1f"',
    'an empty string': '""',
    blanks: '" 5"',
    'a sign': '"+5"',
    'other digits than ours': '"\u0663"',
    'a number of 41 digits': '1'.repeat(41),
    'a string of 41 digits': `"${'1'.repeat(41)}"`,
    'a number of 100,000 digits': '1'.repeat(100_000),
  };
  for (const [name, id] of Object.entries(badIds)) {
    bad[`as history id ${name}`] = payloadOf(id);
    bad[`as history id ${name}, wrapped`] = wrap(payloadOf(id));
  }
  for (const [name, body] of Object.entries(bad)) {
    test(name, () => {
      assert.throws(
        () => parse(body),
        (error) => error instanceof MailgressError && error.code === 'bad_request',
      );
    });
  }

  test('without a word of what was sent', () => {
    for (const body of [
      payloadOf('"secret"', 'secret'),
      wrap('{"secret": '),
      '{"secret"',
      envelope('secret!'),
    ]) {
      assert.throws(
        () => parse(body),
        (error) =>
          error instanceof MailgressError &&
          !JSON.stringify([error.message, error.faults]).includes('secret'),
      );
    }
  });
});
