import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isWorthALook, noteUnseen, type Unseen } from '../../src/sources/imap/folder-status.ts';

test('what no listing shows is looked for at five probes, and then once in an hour of them; anew when there is more', () => {
  let unseen: Unseen | undefined;
  const probe = (after: number, uidNext: number) => {
    unseen = noteUnseen(unseen, after, { uidNext, uidValidity: 1 });
    return isWorthALook(unseen);
  };
  const looks = Array.from({ length: 600 }, (_, at) => [at + 1, probe(7, 10)] as const).filter(
    ([, isLook]) => isLook,
  );
  assert.deepEqual(
    looks.map(([at]) => at),
    [1, 2, 3, 4, 5, 120, 240, 360, 480, 600],
  );
  assert.equal(probe(7, 10), false);
  assert.equal(probe(7, 11), true, 'more came');
  for (let n = 0; n < 10; n++) probe(7, 11);
  assert.equal(probe(8, 11), true, 'something of it was read');
});
