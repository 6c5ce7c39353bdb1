import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gmailErrorOf } from '../../../src/sources/gmail/gmail-error.ts';
import {
  type Answer,
  BAD_PAGE_TOKEN,
  backendError,
  delegationDenied,
  type Fault,
  NOT_FOUND,
  noScope,
  noTopicRights,
  quotaSpent,
  serverError,
  tooMany,
  tooManyUntil,
  UNAUTHORIZED,
  userRateLimit,
} from '../../support/gmail/faults.ts';

const NOW = new Date('2026-11-20T12:00:00.000Z');

function errorOf({ status, body, headers }: Answer) {
  return gmailErrorOf({ status, body, retryAfter: headers?.['retry-after'], now: NOW });
}

const answerOf = ({ answer }: Fault): Answer => answer ?? assert.fail('a fault without an answer');

const CASES: [string, Answer, { fault: string; retryAfterMs?: number; says?: RegExp }][] = [
  ['a header that names seconds', answerOf(tooMany(7)), { fault: 'slow_down', retryAfterMs: 7000 }],
  [
    'a header that names a date',
    { status: 429, headers: { 'retry-after': 'Fri, 20 Nov 2026 12:01:00 GMT' }, body: '' },
    { fault: 'slow_down', retryAfterMs: 60_000 },
  ],
  [
    'a time in the text alone',
    answerOf(tooManyUntil(new Date('2026-11-20T12:03:00.500Z'))),
    { fault: 'slow_down', retryAfterMs: 180_500 },
  ],
  [
    'a time in the text that has passed',
    answerOf(tooManyUntil(new Date('2026-11-20T11:59:00.000Z'))),
    { fault: 'slow_down', retryAfterMs: 0 },
  ],
  ['403 userRateLimitExceeded', answerOf(userRateLimit()), { fault: 'slow_down' }],
  ['403 rateLimitExceeded', answerOf(quotaSpent(403)), { fault: 'slow_down' }],
  ['429 of the quota', answerOf(quotaSpent(429)), { fault: 'slow_down' }],
  ['404', NOT_FOUND, { fault: 'not_found' }],
  ['401', UNAUTHORIZED, { fault: 'needs_reauth' }],
  ['a scope that is missing', answerOf(noScope()), { fault: 'not_allowed', says: /connect again/ }],
  [
    'a topic without rights',
    answerOf(noTopicRights()),
    { fault: 'not_allowed', says: /gmail-api-push@system\.gserviceaccount\.com.*Publisher/ },
  ],
  [
    'a delegation that is missing',
    answerOf(delegationDenied('a@b.example')),
    { fault: 'not_allowed', says: /domain-wide/ },
  ],
  ['400', BAD_PAGE_TOKEN, { fault: 'refused' }],
  ["500 of Google's front end", answerOf(serverError(500)), { fault: 'unavailable' }],
  ['503', answerOf(serverError(503)), { fault: 'unavailable' }],
  ['500 of the API', answerOf(backendError()), { fault: 'unavailable' }],
  ['408', { status: 408, body: undefined }, { fault: 'unavailable' }],
  ['a body that is no error', { status: 500, body: { error: 'internal_failure' } }, { fault: 'unavailable' }],
];

for (const [name, answer, { fault, retryAfterMs, says = /./ }] of CASES) {
  test(`${name} is ${fault}`, () => {
    const error = errorOf(answer);
    assert.equal(error.fault, fault);
    assert.equal(error.retryAfterMs, retryAfterMs);
    assert.match(error.message, says);
    assert.match(error.message, new RegExp(`Gmail answers ${answer.status}`));
  });
}

test('what it says can be kept', () => {
  const { message } = errorOf({
    status: 400,
    body: { error: { message: 'Invalid\u0000 id\nof a message' } },
  });
  assert.equal(message, 'Gmail answers 400: Invalid  id of a message');
});

test('no wish for patience goes beyond a day', () => {
  const dayMs = 24 * 3_600_000;
  for (const status of [429, 503]) {
    for (const retryAfter of ['99999999999', '9'.repeat(400), 'Fri, 31 Dec 9999 23:59:59 GMT']) {
      const { retryAfterMs } = errorOf({ status, body: undefined, headers: { 'retry-after': retryAfter } });
      assert.equal(retryAfterMs, dayMs, `${status} ${retryAfter}`);
    }
  }
  assert.equal(errorOf(answerOf(tooManyUntil(new Date('2036-01-01T00:00:00Z')))).retryAfterMs, dayMs);
});
