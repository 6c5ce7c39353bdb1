import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBodyRoom, SMALL_BYTES } from '../../src/http/body-room.ts';

const MIB = 1024 * 1024;
const MAX_BYTES = 64 * MIB;

test('two large bodies that never end leave room for small ones, and none for a third', () => {
  const room = createBodyRoom(MAX_BYTES);
  const [one, two, third] = [room.open(), room.open(), room.open()];
  for (let mib = 0; mib < 32; mib++) {
    one.grow(MIB);
    two.grow(MIB);
  }
  assert.equal(room.isFullFor(2 * MIB), true);
  assert.equal(third.grow(2 * MIB), false);
  assert.equal(room.isFullFor(SMALL_BYTES), false);
  const small = Array.from({ length: 256 }, () => room.open());
  assert.ok(small.every((body) => body.grow(SMALL_BYTES)));
  assert.ok(room.heldBytes() <= MAX_BYTES);
});

test('small bodies take the whole room while no large one is there', () => {
  const room = createBodyRoom(MAX_BYTES);
  for (let count = 0; count < MAX_BYTES / SMALL_BYTES; count++) {
    assert.ok(room.open().grow(SMALL_BYTES));
  }
  assert.equal(room.isFullFor(1), true);
  assert.equal(room.isFullFor(undefined), true);
  assert.equal(room.open().grow(1), false);
  assert.ok(room.open().grow(MIB), 'and one large one alone always has room');
});

test('a body that grows from small to large, alone beyond the room too, gives all of it back', () => {
  const room = createBodyRoom(MAX_BYTES);
  const body = room.open();
  for (let count = 0; count < 200; count++) assert.ok(body.grow(MIB / 2));
  assert.equal(room.heldBytes(), 100 * MIB);
  body.release();
  body.release();
  assert.equal(room.heldBytes(), 0);
  assert.equal(room.isFullFor(MAX_BYTES), false);
});

test('what is refused takes nothing', () => {
  const room = createBodyRoom(MAX_BYTES);
  const [one, two] = [room.open(), room.open()];
  assert.ok(one.grow(48 * MIB));
  assert.ok(two.grow(SMALL_BYTES));
  assert.equal(two.grow(1), false);
  assert.equal(room.heldBytes(), 48 * MIB + SMALL_BYTES);
  one.release();
  assert.ok(two.grow(1));
  two.release();
  assert.equal(room.heldBytes(), 0);
});
