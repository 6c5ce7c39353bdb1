import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { Webhook as OfficialWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { createSecret, parseSecret, type SignatureHeaders, sign, verify } from '../../src/core/signature.ts';

const secret = createSecret();
const now = new Date();
const timestamp = Math.floor(now.getTime() / 1000);
const text = '{"type":"message.received","data":{"subject":"Grüße 😀"}}';
const body = Buffer.from(text);

function signed(id = 'evt_1', secrets = [secret], at = timestamp): SignatureHeaders {
  return { id, timestamp: String(at), signature: sign({ id, timestamp: at, body, secrets }) };
}

/** 'ok' or the reason against it. */
function judge(
  headers: SignatureHeaders,
  options: { secrets?: string[]; body?: Uint8Array; now?: Date } = {},
) {
  const verdict = verify({ secrets: [secret], body, now, ...options, headers });
  return verdict.ok ? 'ok' : verdict.reason;
}

const secondsAfter = (seconds: number) => new Date(timestamp * 1000 + seconds * 1000);

const libraries = { standardwebhooks: OfficialWebhook, svix: SvixWebhook };

describe('sign', () => {
  for (const [name, Library] of Object.entries(libraries)) {
    test(`is accepted by ${name}`, () => {
      const { id = '', signature = '' } = signed();
      const headers = {
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': signature,
      };
      assert.deepEqual(new Library(secret).verify(text, headers), JSON.parse(text));
    });

    test(`is accepted by ${name} under either secret of a rotation`, () => {
      const next = createSecret();
      const headers = {
        'webhook-id': 'evt_1',
        'webhook-timestamp': String(timestamp),
        'webhook-signature': sign({ id: 'evt_1', timestamp, body, secrets: [next, secret] }),
      };
      new Library(secret).verify(text, headers);
      new Library(next).verify(text, headers);
      assert.throws(() => new Library(createSecret()).verify(text, headers));
    });
  }

  test('signs a string and its UTF-8 bytes alike', () => {
    const call = { id: 'evt_1', timestamp, secrets: [secret] };
    assert.equal(sign({ ...call, body: text }), sign({ ...call, body }));
  });

  test('agrees with the test vector of the official libraries', () => {
    // standard-webhooks, the same in every language ("sign function works").
    const header = sign({
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      timestamp: 1614265330,
      body: '{"test": 2432232314}',
      secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
    });
    assert.equal(header, 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  test('refuses an id that a receiver could take apart in two ways, and an empty list of secrets', () => {
    for (const id of ['', 'a.b', 'a b', 'a\n', 'é', 'a'.repeat(257)])
      assert.throws(() => sign({ id, timestamp, body, secrets: [secret] }), { code: 'internal' });
    assert.throws(() => sign({ id: 'evt_1', timestamp, body, secrets: [] }), { code: 'internal' });
  });
});

describe('verify', () => {
  for (const [name, Library] of Object.entries(libraries)) {
    test(`accepts what ${name} signed`, () => {
      const signature = new Library(secret).sign('msg_1', now, text);
      assert.equal(judge({ id: 'msg_1', timestamp: String(timestamp), signature }), 'ok');
    });
  }

  test('accepts bytes that are no UTF-8', () => {
    const bytes = randomBytes(4096);
    const signature = sign({ id: 'evt_1', timestamp, body: bytes, secrets: [secret] });
    const headers = { id: 'evt_1', timestamp: String(timestamp), signature };
    assert.equal(judge(headers, { body: bytes }), 'ok');
    assert.equal(judge(headers, { body: Buffer.from(bytes.toString()) }), 'bad_signature');
  });

  test('accepts any secret of ours and any signature of theirs', () => {
    const other = createSecret();
    const both = signed('evt_1', [other, secret]);
    assert.equal(judge(both), 'ok');
    assert.equal(judge(signed(), { secrets: [other, secret] }), 'ok');
    assert.equal(judge({ ...both, signature: `v1a,AAAA v2,x ${both.signature} v1,` }), 'ok');
  });

  test('looks at 16 signatures and no more', () => {
    const { signature } = signed();
    const filler = (count: number) => 'v1,AAAA '.repeat(count);
    assert.equal(judge({ ...signed(), signature: filler(15) + signature }), 'ok');
    assert.equal(judge({ ...signed(), signature: filler(16) + signature }), 'bad_signature');
  });

  const good = signed();
  const value = good.signature?.slice(3) ?? '';
  const refusals: [string, Partial<SignatureHeaders>, string][] = [
    ['no id', { id: undefined }, 'missing_headers'],
    ['no timestamp', { timestamp: undefined }, 'missing_headers'],
    ['no signature', { signature: '' }, 'missing_headers'],
    ['an id with a dot', { id: 'evt.1' }, 'bad_id'],
    ['an id of 257 characters', { id: 'e'.repeat(257) }, 'bad_id'],
    ['an id beyond ASCII', { id: 'evt_é' }, 'bad_id'],
    ['a timestamp in words', { timestamp: 'now' }, 'bad_timestamp'],
    ['a negative timestamp', { timestamp: `-${timestamp}` }, 'bad_timestamp'],
    ['a fraction', { timestamp: `${timestamp}.5` }, 'bad_timestamp'],
    ['the same time spelled with a zero', { timestamp: `0${timestamp}` }, 'bad_timestamp'],
    ['a number without end', { timestamp: '9'.repeat(400) }, 'bad_timestamp'],
    ['milliseconds', { timestamp: `${timestamp}000` }, 'future'],
    ['another id', { id: 'evt_2' }, 'bad_signature'],
    ['another time', { timestamp: String(timestamp - 1) }, 'bad_signature'],
    ['a truncated signature', { signature: `v1,${value.slice(0, 40)}` }, 'bad_signature'],
    ['a longer signature', { signature: `v1,${value}=` }, 'bad_signature'],
    ['a signature without version', { signature: value }, 'bad_signature'],
    ['a version we do not know', { signature: `v1a,${value}` }, 'bad_signature'],
    ['an empty signature', { signature: 'v1,' }, 'bad_signature'],
    ['nothing but spaces', { signature: '   ' }, 'bad_signature'],
  ];
  for (const [name, change, reason] of refusals)
    test(`refuses ${name}: ${reason}`, () => assert.equal(judge({ ...good, ...change }), reason));

  test('refuses another secret, another body and no secret at all', () => {
    assert.equal(judge(good, { secrets: [createSecret()] }), 'bad_signature');
    assert.equal(judge(good, { secrets: [] }), 'bad_signature');
    for (let at = 0; at < body.length; at += 7) {
      const changed = Buffer.from(body);
      changed[at] = (changed[at] ?? 0) ^ 1;
      assert.equal(judge(good, { body: changed }), 'bad_signature');
    }
  });

  test('refuses to move a dot between id, timestamp and body', () => {
    // The text signed for ("a", 1, "2.x") is also that of ("a.1", 2, "x").
    const moved = sign({ id: 'a', timestamp, body: `${timestamp + 60}.x`, secrets: [secret] });
    const headers = { id: `a.${timestamp}`, timestamp: String(timestamp + 60), signature: moved };
    assert.equal(judge(headers, { body: Buffer.from('x') }), 'bad_id');
  });

  test('accepts five minutes either way and not a second more', () => {
    assert.equal(judge(good, { now: secondsAfter(300) }), 'ok');
    assert.equal(judge(good, { now: secondsAfter(301) }), 'stale');
    assert.equal(judge(good, { now: secondsAfter(-300) }), 'ok');
    assert.equal(judge(good, { now: secondsAfter(-301) }), 'future');
  });
});

describe('parseSecret', () => {
  test('gives the key of 24 to 64 bytes', () => {
    for (const size of [24, 32, 64]) {
      const key = randomBytes(size);
      assert.deepEqual(Buffer.from(parseSecret(`whsec_${key.toString('base64')}`)), key);
    }
    assert.equal(parseSecret(createSecret()).length, 32);
  });

  test('refuses anything else without repeating it', () => {
    const long = randomBytes(65).toString('base64');
    const url = Buffer.alloc(32, 0xff).toString('base64url');
    for (const bad of [
      '',
      'whsec_',
      'whsec_c2hvcnQ=',
      long,
      `whsec_${long}`,
      `whsec_${url}`,
      `whsec_ ${long}`,
    ])
      assert.throws(
        () => parseSecret(bad),
        (error: Error & { code?: string }) =>
          error.code === 'bad_request' && (bad.length < 10 || !error.message.includes(bad.slice(6))),
      );
  });
});
