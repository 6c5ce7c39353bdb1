import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeAttempt } from '../../src/core/attempt-outcome.ts';

const table: [number | string, string][] = [
  [200, 'succeeded'],
  [204, 'succeeded'],
  [299, 'succeeded'],
  [301, 'failed'],
  [304, 'failed'],
  [307, 'failed'],
  [400, 'failed'],
  [404, 'failed'],
  [410, 'gone'],
  [429, 'failed, slow down'],
  [500, 'failed'],
  [503, 'failed'],
  ['timeout', 'failed, slow down'],
  ['connection', 'failed'],
  ['egress_blocked', 'failed'],
];

for (const [answer, expected] of table)
  test(`${answer} means ${expected}`, () => {
    const outcome = judgeAttempt(
      typeof answer === 'number'
        ? { statusCode: answer, error: null }
        : { statusCode: null, error: { code: answer } },
    );
    const slowDown = outcome.kind === 'failed' && outcome.slowDown;
    assert.equal(outcome.kind + (slowDown ? ', slow down' : ''), expected);
  });
