import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { MailgressError } from '../../../src/core/errors.ts';
import { createPushTokenVerifier } from '../../../src/sources/gmail/push-token.ts';
import { waitUntil } from '../../support/embedded-place.ts';
import { type Certs, type PushTokens, startPushTokens } from '../../support/push-tokens.ts';

let google: PushTokens;
let nowMs: number;
let failures: string[];
/** Judges a token: the code it is refused with, or `ok`. */
let judge: (token: string) => Promise<string>;
beforeEach(async () => {
  google = await startPushTokens();
  nowMs = 0;
  failures = [];
  const verify = createPushTokenVerifier(
    google.options,
    (reason) => failures.push(reason),
    () => nowMs,
  );
  judge = (token) =>
    verify(`Bearer ${token}`).then(
      () => 'ok',
      (error) => (error instanceof MailgressError ? error.code : `${error}`),
    );
});
afterEach(() => google[Symbol.asyncDispose]());

const passSeconds = (seconds: number) => {
  nowMs += seconds * 1000;
};
const judgeNew = async () => judge(await google.token());

describe('keys are kept', () => {
  /** What a document says of how long it may be kept, and how long it is. */
  const table: [name: string, headers: Record<string, string>, keptS: number][] = [
    ['for max-age', { 'cache-control': 'public, max-age=20000, must-revalidate' }, 20_000],
    ['for max-age less Age', { 'cache-control': 'max-age=20000', age: '5000' }, 15_000],
    ['for max-age in other letters', { 'cache-control': 'Public,Max-Age="600"' }, 600],
    ['for a day at most', { 'cache-control': 'max-age=9999999999' }, 86_400],
    ['for a minute at least', { 'cache-control': 'max-age=0' }, 60],
    ['for a minute of which Age leaves nothing', { 'cache-control': 'max-age=100', age: '9999' }, 60],
    ['as long whatever Age is', { 'cache-control': 'max-age=600', age: 'old' }, 600],
    ['for an hour without a word', {}, 3600],
    ['for an hour without max-age', { 'cache-control': 'public, s-maxage=5' }, 3600],
  ];
  for (const [name, headers, keptS] of table) {
    test(name, async () => {
      google.certs.headers = headers;
      assert.equal(await judgeNew(), 'ok');
      passSeconds(keptS - 1);
      assert.equal(await judgeNew(), 'ok');
      assert.equal(google.certs.fetches, 1);
      passSeconds(2);
      assert.equal(await judgeNew(), 'ok');
      assert.equal(google.certs.fetches, 2);
    });
  }

  test('and a key that is gone after that is no key', async () => {
    const token = await google.token();
    assert.equal(await judge(token), 'ok');
    await google.rotate('instead');
    assert.equal(await judge(token), 'ok');
    passSeconds(20_001);
    assert.equal(await judge(token), 'unauthorized');
  });
});

describe('fetched once for all that wait', () => {
  test('at first', async () => {
    google.certs.delayMs = 100;
    const token = await google.token();
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => judge(token)));
    assert.deepEqual([...new Set(verdicts)], ['ok']);
    assert.equal(google.certs.fetches, 1);
  });

  test('when they are old', async () => {
    await judgeNew();
    passSeconds(20_001);
    google.certs.delayMs = 100;
    const token = await google.token();
    await Promise.all(Array.from({ length: 50 }, () => judge(token)));
    assert.equal(google.certs.fetches, 2);
  });

  test('when a token names another', async () => {
    await judgeNew();
    passSeconds(31);
    google.certs.delayMs = 100;
    await google.rotate('beside');
    const token = await google.token();
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => judge(token)));
    assert.deepEqual([...new Set(verdicts)], ['ok']);
    assert.equal(google.certs.fetches, 2);
  });
});

describe('a key that is not known', () => {
  test('is looked up, and then both are known', async () => {
    const old = await google.token();
    assert.equal(await judge(old), 'ok');
    passSeconds(31);
    await google.rotate('beside');
    assert.equal(await judgeNew(), 'ok');
    assert.equal(await judge(old), 'ok');
    assert.equal(google.certs.fetches, 2);
  });

  test('is looked up every half minute at most, whoever invents it', async () => {
    await judgeNew();
    for (let second = 0; second < 300; second++) {
      passSeconds(1);
      const invented = await google.token({}, { kid: `invented-${second}` });
      assert.equal(await judge(invented), 'unauthorized');
    }
    assert.equal(google.certs.fetches, 11);
    assert.equal(await judgeNew(), 'ok');
  });

  test('or not even named is none', async () => {
    await judgeNew();
    for (const kid of [undefined, null, 5, ['a'], {}]) {
      assert.equal(await judge(await google.token({}, { kid })), 'unauthorized', `${kid}`);
    }
    assert.equal(google.certs.fetches, 1);
  });
});

const answerWith = (answer: Certs['answer']) => {
  google.certs.answer = answer;
};

/** Ways in which there are no keys to be had. */
const ways: Record<string, () => Promise<void> | void> = {
  'refuses connections': () => google.stop(),
  'answers an error': () => answerWith('error'),
  'answers something else': () => answerWith('garbage'),
  'answers without a key': () => answerWith('no keys'),
  'answers without end': () => answerWith('too much'),
  'hangs up': () => answerWith('nothing'),
  'hangs up in the middle': () => answerWith('half'),
};
const comeBack = async () => {
  google.certs.answer = 'keys';
  await google.start();
};

for (const [name, goAway] of Object.entries(ways)) {
  describe(`Google ${name}`, () => {
    test('at first: nothing can be judged, and it is asked again after a moment', async () => {
      const token = await google.token();
      await goAway();
      const verdicts = await Promise.all(Array.from({ length: 20 }, () => judge(token)));
      assert.deepEqual([...new Set(verdicts)], ['keys_unavailable']);
      assert.equal(failures.length, 1);
      assert.ok(!/^fetch failed$/.test(failures[0] ?? ''), failures[0]);
      passSeconds(1);
      assert.equal(await judge(token), 'keys_unavailable');
      assert.equal(failures.length, 1);

      await comeBack();
      assert.equal(await judge(token), 'keys_unavailable');
      passSeconds(2);
      assert.equal(await judge(token), 'ok');
    });

    test('later: the old keys go on, and new ones come when it is back', async () => {
      const old = await google.token();
      assert.equal(await judge(old), 'ok');
      await google.rotate('beside');
      const unknown = await google.token();
      await goAway();
      passSeconds(20_001);
      for (let second = 0; second < 30; second++) {
        passSeconds(1);
        assert.equal(await judge(old), 'ok');
        // Whose key may be a new one.
        assert.equal(await judge(unknown), 'keys_unavailable');
      }
      assert.ok(failures.length >= 5 && failures.length <= 11, `${failures.length}`);

      await comeBack();
      passSeconds(3);
      assert.equal(await judge(old), 'ok');
      await waitUntil('the keys are new', async () => (await judge(unknown)) === 'ok');
      assert.equal(await judge(old), 'ok');
    });
  });
}

test('old keys go on without a wait while Google does not answer', async () => {
  const token = await google.token();
  assert.equal(await judge(token), 'ok');
  answerWith('error');
  passSeconds(20_001);
  assert.equal(await judge(token), 'ok');
  answerWith('silence');
  passSeconds(4);
  const startedMs = performance.now();
  for (let count = 0; count < 20; count++) assert.equal(await judge(token), 'ok');
  assert.ok(performance.now() - startedMs < 2000);
});

test('Google is waited for in vain for some seconds, no longer', async () => {
  answerWith('silence');
  const startedMs = performance.now();
  assert.equal(await judgeNew(), 'keys_unavailable');
  assert.ok(performance.now() - startedMs < 20_000);
});
