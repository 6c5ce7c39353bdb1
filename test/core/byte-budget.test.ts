import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createByteBudget } from '../../src/core/byte-budget.ts';

describe('a budget of bytes', () => {
  test('gives what is free at once', async () => {
    const budget = createByteBudget(100);
    await Promise.all([budget.take(60), budget.take(40)]);
  });

  test('has who wants more wait until it is given back', async () => {
    const budget = createByteBudget(100);
    const giveBack = await budget.take(60);
    const second = budget.take(50);
    assert.equal(await stateOf(second), 'waits');
    giveBack();
    await second;
  });

  test('counts what is given back twice once', async () => {
    const budget = createByteBudget(100);
    const giveBack = await budget.take(60);
    await budget.take(40);
    giveBack();
    giveBack();
    await budget.take(60);
    assert.equal(await stateOf(budget.take(1)), 'waits');
  });

  test('lets one that is larger than all of it through alone, and gives all of it back', async () => {
    const budget = createByteBudget(100);
    const small = await budget.take(1);
    const large = budget.take(1_000_000);
    assert.equal(await stateOf(large), 'waits');
    small();
    (await large)();
    await budget.take(100);
  });

  test('has nobody pass who came later: a large one is not starved by small ones', async () => {
    const budget = createByteBudget(100);
    const giveBack = await budget.take(60);
    const large = budget.take(100);
    const small = budget.take(1);
    assert.deepEqual([await stateOf(large), await stateOf(small)], ['waits', 'waits']);
    giveBack();
    const letGo = await large;
    assert.equal(await stateOf(small), 'waits');
    letGo();
    await small;
  });

  test('is never overdrawn and never stuck, in whatever order it is taken and given back', async () => {
    const wish = fc.record({
      bytes: fc.integer({ min: 0, max: 150 }),
      turns: fc.integer({ min: 0, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(wish, { maxLength: 40 }), async (wishes) => {
        const budget = createByteBudget(100);
        let inUse = 0;
        const order: number[] = [];
        await Promise.all(
          wishes.map(async ({ bytes, turns }, at) => {
            const giveBack = await budget.take(bytes);
            order.push(at);
            inUse += Math.min(bytes, 100);
            assert.ok(inUse <= 100);
            for (let turn = 0; turn < turns; turn++) await turnOver();
            inUse -= Math.min(bytes, 100);
            giveBack();
          }),
        );
        assert.deepEqual(
          order,
          [...order].sort((a, b) => a - b),
        );
      }),
      { numRuns: 100 },
    );
  });

  test('can be given back in part, and the rest once', async () => {
    const budget = createByteBudget(100);
    const giveBack = await budget.take(100);
    giveBack(30);
    const others = await budget.take(70);
    const next = budget.take(30);
    assert.equal(await stateOf(next), 'waits');
    giveBack(500);
    assert.equal(await stateOf(next), 'waits');
    giveBack();
    giveBack();
    (await next)();
    others();
    assert.equal(await stateOf(budget.take(100)), 'took');
    assert.equal(await stateOf(budget.take(1)), 'waits');
  });

  test('gives no holder more than half at a time, and others what it waits for', async () => {
    const budget = createByteBudget(100);
    const giveBack = await budget.take(40, undefined, 'a');
    const second = budget.take(20, undefined, 'a');
    assert.equal(await stateOf(second), 'waits');
    await budget.take(40, undefined, 'b');
    await budget.take(10);
    assert.equal(await stateOf(second), 'waits');
    giveBack(30);
    (await second)();
    giveBack();
    assert.equal(await stateOf(budget.take(50, undefined, 'a')), 'took');
  });

  test('gives a holder that has nothing one that is more than half', async () => {
    const budget = createByteBudget(100);
    const giveBack = await budget.take(90, undefined, 'a');
    const next = budget.take(1, undefined, 'a');
    assert.equal(await stateOf(next), 'waits');
    giveBack(49);
    await next;
  });
});

const turnOver = () => new Promise<void>((resolve) => setImmediate(resolve));

/** All that can settle without time has settled by then. */
async function stateOf(taking: Promise<unknown>): Promise<'took' | 'waits'> {
  return Promise.race([taking.then(() => 'took' as const), turnOver().then(() => 'waits' as const)]);
}
