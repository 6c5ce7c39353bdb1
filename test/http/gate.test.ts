import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createGate } from '../../src/http/gate.ts';

/*
 * A store that takes so many mails a second, one after the other, and pushes that come at a rate, on a clock of their own.
 */
function simulate(options: {
  storePerSecond: (ms: number) => number;
  pushes: { source: string; perSecond: number }[];
  seconds: number;
}) {
  let now = 0;
  const gate = createGate({ nowMs: () => now });
  const queue: { source: string; place: { leave(wasStored: boolean): void }; cameMs: number }[] = [];
  const taken: { source: string; cameMs: number; tookMs: number }[] = [];
  const refused: { source: string; ms: number }[] = [];
  let credit = 0;
  for (; now < options.seconds * 1000; now++) {
    for (const { source, perSecond } of options.pushes) {
      const due = Math.floor(((now + 1) * perSecond) / 1000) - Math.floor((now * perSecond) / 1000);
      for (let count = 0; count < due; count++) {
        const place = gate.enter(source);
        if (place === undefined) refused.push({ source, ms: now });
        else queue.push({ source, place, cameMs: now });
      }
    }
    credit += options.storePerSecond(now) / 1000;
    for (; credit >= 1; credit--) {
      const mail = queue.shift();
      if (mail === undefined) continue;
      mail.place.leave(true);
      taken.push({ source: mail.source, cameMs: mail.cameMs, tookMs: now - mail.cameMs });
    }
    credit = Math.min(credit, 1);
  }
  return { gate, taken, refused };
}

const quantile = (values: number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? Number.NaN;

describe('a store that takes a third of what comes', () => {
  const { taken } = simulate({
    storePerSecond: () => 350,
    pushes: [{ source: 'a', perSecond: 1050 }],
    seconds: 60,
  });

  test('is kept busy, and no mail waits for long', () => {
    assert.ok(taken.length > 0.95 * 350 * 60, `${taken.length} taken`);
    assert.ok(
      quantile(
        taken.map(({ tookMs }) => tookMs),
        0.99,
      ) < 1000,
    );
  });
});

test('no push is refused while the store keeps up, and with hardly one at work the limit does not grow', () => {
  const { gate, refused } = simulate({
    storePerSecond: () => 3000,
    pushes: [{ source: 'a', perSecond: 2500 }],
    seconds: 20,
  });
  assert.deepEqual(refused, []);
  assert.equal(gate.use().limit, 256);
});

test('the limit grows once it is used, and then a burst of a thousand is let in', () => {
  let now = 0;
  const gate = createGate({ nowMs: () => now });
  for (let look = 0; look < 20; look++) {
    const places = [];
    for (let place = gate.enter('a'); place !== undefined; place = gate.enter('a')) places.push(place);
    now += 101;
    for (const place of places) place.leave(true);
  }
  assert.equal(gate.use().limit, 1024);
  const burst = Array.from({ length: 1000 }, (_, index) => gate.enter(`source ${index}`));
  assert.ok(burst.every((place) => place !== undefined));
});

test('once the store is fast again everything is let in within seconds', () => {
  const { refused, gate } = simulate({
    storePerSecond: (ms) => (ms < 10_000 ? 100 : 3000),
    pushes: [{ source: 'a', perSecond: 1000 }],
    seconds: 20,
  });
  assert.ok(refused.some(({ ms }) => ms < 10_000));
  assert.deepEqual(
    refused.filter(({ ms }) => ms > 14_000),
    [],
  );
  assert.equal(gate.use().limit, 256);
});

test('a noisy source leaves quiet ones their place', () => {
  const quiet = Array.from({ length: 10 }, (_, index) => ({ source: `quiet ${index}`, perSecond: 5 }));
  const { refused, taken } = simulate({
    storePerSecond: () => 300,
    pushes: [{ source: 'noisy', perSecond: 3000 }, ...quiet],
    seconds: 30,
  });
  // Once what came before the store was known to be slow is done.
  const refusedQuiet = refused.filter(({ source, ms }) => source !== 'noisy' && ms > 5000).length;
  assert.ok(refusedQuiet < 0.02 * 10 * 5 * 25, `${refusedQuiet} of the quiet ones were refused`);
  assert.ok(
    taken.filter(({ source }) => source === 'noisy').length > 100 * 30,
    'and the noisy one has the rest',
  );
});

test('a place is given back, and one that is asked about is not taken', () => {
  const gate = createGate({ maxLimit: 10 });
  const places = Array.from({ length: 8 }, () => gate.enter('a'));
  assert.ok(places.every((place) => place !== undefined));
  assert.equal(gate.isFull('a'), true);
  assert.equal(gate.enter('a'), undefined);
  // The last fifth is for others.
  assert.equal(gate.isFull('b'), false);
  assert.equal(gate.use().busy, 8);
  places[0]?.leave(true);
  assert.notEqual(gate.enter('a'), undefined);
});
