import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createId, type Id } from '../../src/core/ids.ts';
import { rememberSources } from '../../src/store/ingress-sources.ts';
import type { IngressSource } from '../../src/store/sources.ts';

const known = createId('src');
const source: IngressSource = {
  id: known,
  kind: 'raw',
  mailboxId: createId('mbx'),
  tenant: 'default',
  address: 'me@example.com',
  authenticationServers: [],
  isWanted: true,
  secrets: [],
  hasStubs: false,
};

/** A store that answers when it is told to, with what it was asked for. */
function createStore() {
  let now = 0;
  const reads: { id: Id<'src'>; answer(): void; fail(): void }[] = [];
  const sources = rememberSources(
    (id) =>
      new Promise((resolve, reject) =>
        reads.push({
          id,
          answer: () => resolve(id === known ? source : undefined),
          fail: () => reject(new Error('away')),
        }),
      ),
    () => now,
  );
  return {
    reads,
    sources,
    pass(ms: number) {
      now += ms;
    },
  };
}

test('strangers are looked for so many at a time, and a known source beside them at any time', async () => {
  const { reads, sources, pass } = createStore();
  const first = sources.find(known);
  reads.shift()?.answer();
  assert.equal((await first)?.id, known);

  const strangers = Array.from({ length: 300 }, () => sources.find(createId('src')));
  const settled = Promise.allSettled(strangers);
  assert.equal(reads.length, 256);
  // One who signs wrong for it is a stranger, too.
  await assert.rejects(sources.refresh(known), { code: 'overloaded', retryable: true });
  pass(1001);
  const again = sources.find(known);
  assert.equal(reads.at(-1)?.id, known);
  for (const read of reads.splice(0)) read.answer();
  assert.equal((await again)?.id, known);
  const refused = (await settled).filter(({ status }) => status === 'rejected');
  assert.equal(refused.length, 300 - 256);

  const next = sources.find(createId('src'));
  reads.shift()?.answer();
  assert.equal(await next, undefined);
});

test('a known source whose read failed is read again, and is no stranger', async () => {
  const { reads, sources, pass } = createStore();
  const first = sources.find(known);
  reads.shift()?.answer();
  await first;
  pass(1001);
  const failed = sources.find(known);
  reads.shift()?.fail();
  await assert.rejects(failed, /away/);
  for (let n = 0; n < 256; n++) void sources.find(createId('src'));
  const again = sources.find(known);
  assert.equal(reads.at(-1)?.id, known);
  for (const read of reads.splice(0)) read.answer();
  assert.equal((await again)?.id, known);
});
