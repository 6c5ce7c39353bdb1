import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rawMail } from '../support/raw-mail.ts';
import { checkMail } from './check-mail.ts';
import { fixtures } from './mail/fixtures.ts';
import { mutantOf } from './mutate.ts';

/*
 * Mails that were damaged at random: npm run mutate does it for longer, and for one mail alone. What it finds becomes
 * a fixture.
 */
const mails = Object.values(fixtures).flatMap((table) => table.map(({ mail }) => rawMail(mail).bytes));

const TIME_MS = 10_000;
const MOST_GROWTH_BYTES = 512 * 1024 * 1024;

test('a mail is the same for the same seed and index', () => {
  assert.deepEqual(mutantOf(mails, 1, 2), mutantOf(mails, 1, 2));
  assert.notDeepEqual(mutantOf(mails, 1, 2), mutantOf(mails, 1, 3));
});

test('any damage leaves a message that is valid, soon, and the same again', async (t) => {
  const seed = Date.now() % 2 ** 31;
  const before = process.memoryUsage.rss();
  const endMs = performance.now() + TIME_MS;
  let index = 0;
  for (; performance.now() < endMs; index += 1) {
    const mail = mutantOf(mails, seed, index);
    await assert.doesNotReject(checkMail(mail), `npm run mutate -- --seed ${seed} --only ${index}`);
  }
  t.diagnostic(`seed ${seed}, ${index} mails`);
  assert.ok(process.resourceUsage().maxRSS * 1024 - before < MOST_GROWTH_BYTES, 'took too much memory');
});
