import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { before, test } from 'node:test';
import { sign, verify } from '../../src/core/signature.ts';
import { readScript } from '../../src/sources/apps-script/script.ts';
import { createRuntime, type Runtime } from './runtime.ts';
import type { World } from './world.ts';

/*
 * The stand-ins for Google's services against what they stand for: a test that runs on a wrong one shows nothing. No
 * Gmail and no service are needed.
 */

let runtime: Runtime;
before(() => {
  const world = { clock: { now: Date.UTC(2026, 0, 5) } } as World;
  const probes = `
    function hmac(value, key) { return Utilities.computeHmacSha256Signature(value, key); }
    function sign(secret, text) { return signatureOf_(secret, toBytes_(text)); }
    function bytes(text) { return Utilities.newBlob(text).getBytes(); }
    function decode(text) { return Utilities.base64Decode(text); }
    function keep(key, value) { PropertiesService.getUserProperties().setProperty(key, value); }
    function both() { return [LockService.getUserLock().tryLock(0), LockService.getUserLock().tryLock(0)]; }
    function when() { return [new Date().getTime(), Date.now(), new Date(0).getTime()]; }
    function every(minutes) { ScriptApp.newTrigger('poll').timeBased().everyMinutes(minutes).create(); }`;
  runtime = createRuntime(world, 'me@example.com', { script: `${readScript()}\n${probes}` });
});

test('bytes are signed, as in Java', () => {
  assert.deepEqual(
    [...(runtime.run('bytes', 'aé\u{1F600}') as number[])],
    [97, -61, -87, -16, -97, -104, -128],
  );
  assert.deepEqual([...(runtime.run('decode', '/wB/gA==') as number[])], [-1, 0, 127, -128]);
  assert.throws(() => runtime.run('hmac', [200], [1]), /no byte/);
});

test('the HMAC of bytes is that of node:crypto; of text, what is not ASCII is lost', () => {
  const [value, key] = [randomBytes(1000), randomBytes(32)];
  const made = runtime.run('hmac', [...new Int8Array(value)], [...new Int8Array(key)]) as number[];
  assert.deepEqual(Buffer.from(made), createHmac('sha256', key).update(value).digest());
  assert.deepEqual(
    [...(runtime.run('hmac', 'é', 'k') as number[])],
    [...(runtime.run('hmac', '?', 'k') as number[])],
  );
  assert.throws(() => runtime.run('hmac', 'text', [1, 2]), /do not match/);
});

test("the script's signature is that of the service's own library, whatever is signed", () => {
  for (const body of ['{}', '{"a":"Grüße \u{1F600} 日本"}', '\u0000\u2028\ud800', 'x'.repeat(100_000)]) {
    const secret = `whsec_${randomBytes(32).toString('base64')}`;
    const made = String(runtime.run('sign', secret, `script_1.1700000000.${body}`));
    assert.equal(made, sign({ id: 'script_1', timestamp: 1_700_000_000, body, secrets: [secret] }));
    const headers = { id: 'script_1', timestamp: '1700000000', signature: made };
    const now = new Date(1_700_000_000_000);
    assert.deepEqual(verify({ secrets: [secret], headers, body: Buffer.from(body), now }), { ok: true });
  }
});

test('a property holds 9 KB, all of them 500 KB', () => {
  runtime.run('keep', 'a', 'x'.repeat(9 * 1024));
  assert.throws(() => runtime.run('keep', 'a', 'x'.repeat(9 * 1024 + 1)), /too large/);
  assert.throws(() => runtime.run('keep', 'a', 'ä'.repeat(5 * 1024)), /too large/);
  for (let i = 0; i < 55; i++) runtime.run('keep', `b${i}`, 'x'.repeat(9000));
  assert.throws(() => runtime.run('keep', 'c', 'x'.repeat(9000)), /storage quota/);
  runtime.properties.clear();
});

test('a lock is one for all executions, and let go of at the end of its own', () => {
  let inner: boolean[] | undefined;
  // The second of two calls: the first has taken the lock.
  const first = runtime.calls.length;
  runtime.onCall = ({ index }) => {
    if (index === first + 1) inner = [...(runtime.run('both') as boolean[])];
    return undefined;
  };
  assert.deepEqual([...(runtime.run('both') as boolean[])], [true, true]);
  assert.deepEqual(inner, [false, false]);
  runtime.onCall = () => undefined;
  assert.deepEqual([...(runtime.run('both') as boolean[])], [true, true]);
});

test('time is the virtual one, and passes with each call', () => {
  const [a, b, epoch] = runtime.run('when') as number[];
  assert.equal(a, b);
  assert.equal(epoch, 0);
  assert.ok(a !== undefined && a >= Date.UTC(2026, 0, 5) && a < Date.UTC(2026, 0, 6));
});

test('triggers run every 1, 5, 10, 15 or 30 minutes, and there are 20 at most', () => {
  assert.throws(() => runtime.run('every', 2), /everyMinutes/);
  for (let i = 0; i < 20; i++) runtime.run('every', 30);
  assert.throws(() => runtime.run('every', 30), /too many triggers/);
});
