import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MailgressError } from '../../src/core/errors.ts';
import { createKeyring } from '../../src/core/sealed.ts';

const oldKey = 'old-key-of-at-least-thirty-two-characters';
const newKey = 'new-key-of-at-least-thirty-two-characters';
const refused = (error: unknown) => error instanceof MailgressError && error.code === 'configuration';

test('opens what it sealed, under the same context alone', () => {
  const ring = createKeyring([newKey]);
  const sealed = ring.seal('whsec_ä', 'src_1/secret');
  assert.equal(ring.open(sealed, 'src_1/secret'), 'whsec_ä');
  assert.throws(() => ring.open(sealed, 'src_2/secret'), refused);
});

test('seals the same secret differently each time, and never in the clear', () => {
  const ring = createKeyring([newKey]);
  const [a, b] = [ring.seal('secret', 'x'), ring.seal('secret', 'x')];
  assert.notDeepEqual(a, b);
  assert.equal(a.includes('secret'), false);
});

test('refuses every changed or shortened value', () => {
  const ring = createKeyring([newKey]);
  const sealed = ring.seal('secret', 'x');
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    assert.throws(() => ring.open(changed, 'x'), refused, `byte ${at}`);
    assert.throws(() => ring.open(sealed.subarray(0, at), 'x'), refused, `length ${at}`);
  }
});

test('rotates: the old key still opens, is known as outdated, and opens nothing new', () => {
  const before = createKeyring([oldKey]);
  const during = createKeyring([newKey, oldKey]);
  const after = createKeyring([newKey]);
  const sealed = before.seal('secret', 'x');
  assert.equal(during.open(sealed, 'x'), 'secret');
  assert.equal(during.isOutdated(sealed), true);
  assert.throws(() => after.open(sealed, 'x'), refused);
  const resealed = during.seal('secret', 'x');
  assert.equal(during.isOutdated(resealed), false);
  assert.equal(after.open(resealed, 'x'), 'secret');
  assert.throws(() => before.open(resealed, 'x'), refused);
});

test('no error tells the secret or the key', () => {
  const ring = createKeyring([newKey]);
  const sealed = ring.seal('the-secret', 'x');
  assert.throws(
    () => ring.open(sealed, 'y'),
    (error: Error) => !/the-secret|new-key/.test(`${error.message}${error.stack}`),
  );
});
