import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createId, eventIdOf, idOf, isId, uuidOf } from '../../src/core/ids.ts';

test('is a UUIDv7 (RFC 9562, 5.7) behind its prefix', () => {
  const id = createId('msg', Date.UTC(2026, 10, 20, 10));
  assert.match(id, /^msg_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  assert.equal(Number.parseInt(id.slice(4, 16), 16), Date.UTC(2026, 10, 20, 10));
});

test('sorts by time and never repeats', () => {
  const ids = Array.from({ length: 20_000 }, (_, at) =>
    createId('evt', 1_700_000_000_000 + Math.floor(at / 2)),
  );
  assert.equal(new Set(ids).size, ids.length);
  const times = ids.map((id) => id.slice(0, 16));
  assert.deepEqual(times, times.toSorted());
});

test('goes to a uuid and back', () => {
  const id = createId('src');
  const hex = uuidOf(id);
  const printed = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  assert.equal(idOf('src', printed), id);
});

test('a message and its event share one uuid', () => {
  const id = createId('msg');
  assert.equal(uuidOf(eventIdOf(id)), uuidOf(id));
});

for (const text of [
  '',
  'msg_',
  `src_${'0'.repeat(32)}`,
  `msg_${'0'.repeat(31)}`,
  `msg_${'A'.repeat(32)}`,
  `msg_${'0'.repeat(32)}\n`,
]) {
  test(`is no message id: ${JSON.stringify(text)}`, () => assert.equal(isId('msg', text), false));
}
