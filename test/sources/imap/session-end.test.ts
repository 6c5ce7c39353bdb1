import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PROVEN_AFTER_MS } from '../../../src/core/source-retry.ts';
import { ImapError, type ImapFault } from '../../../src/sources/imap/imap-error.ts';
import { afterFault, afterRelease } from '../../../src/sources/imap/session-end.ts';

const FAULTS: readonly Exclude<ImapFault, 'needs_reauth'>[] = [
  'network',
  'tls',
  'auth',
  'throttle',
  'folder',
  'protocol',
  'quota',
  'store',
  'internal',
];
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

const fault = (kind: ImapFault, retryAfterMs?: number) =>
  new ImapError(kind, `a fault of ${kind}`, { retryAfterMs });

describe('a source that is given back in order', () => {
  test('is due at once, with no fault of its own', () => {
    assert.deepEqual(afterRelease(null, 1000, 'disconnected'), {
      state: 'disconnected',
      reason: null,
      fault: null,
      failures: 0,
      dueInMs: 0,
      slowForMs: null,
    });
  });

  test('keeps the count of faults: a stop and a start do not begin the waits anew', () => {
    const { fault, failures } = afterRelease({ fault: 'auth', failures: 2 }, PROVEN_AFTER_MS - 1, 'standby');
    assert.deepEqual({ fault, failures }, { fault: 'auth', failures: 2 });
  });

  test('loses the count when the session was proven', () => {
    const { fault, failures } = afterRelease({ fault: 'auth', failures: 2 }, PROVEN_AFTER_MS, 'disconnected');
    assert.deepEqual({ fault, failures }, { fault: null, failures: 0 });
  });
});

describe('after a fault', () => {
  for (const kind of FAULTS) {
    test(`of ${kind}, the source waits, and says why`, () => {
      const end = afterFault(null, fault(kind), 0, { random: 0.5 });
      assert.equal(end.state, 'backoff');
      assert.equal(end.reason, `a fault of ${kind}`);
      assert.equal(end.fault, kind);
      assert.ok(end.dueInMs >= 10 * SECOND_MS, `${end.dueInMs}`);
    });
  }

  test('of the network after a proven session, it is back within two seconds', () => {
    const { dueInMs, failures } = afterFault(
      { fault: 'network', failures: 9 },
      fault('network'),
      PROVEN_AFTER_MS,
      {
        random: 0.999,
      },
    );
    assert.ok(dueInMs <= 2 * SECOND_MS);
    assert.equal(failures, 1);
  });

  test('that only a person can mend, the source waits for one', () => {
    const end = afterFault({ fault: 'network', failures: 3 }, fault('needs_reauth'), 0, { random: 0 });
    assert.equal(end.state, 'needs_reauth');
    assert.equal(end.fault, 'auth');
  });

  test('a login refused for the third time in a row disables it, and not before', () => {
    const first = afterFault(null, fault('auth'), 0, { random: 0 });
    const second = afterFault({ fault: 'auth', failures: first.failures }, fault('auth'), 0, { random: 0 });
    const third = afterFault({ fault: 'auth', failures: second.failures }, fault('auth'), 0, { random: 0 });
    assert.deepEqual([first.state, second.state, third.state], ['backoff', 'backoff', 'disabled']);
    assert.ok(first.dueInMs >= 10 * MINUTE_MS && second.dueInMs >= 10 * MINUTE_MS);
  });

  test('nothing but a refused login ever disables it', () => {
    for (const kind of FAULTS) {
      if (kind === 'auth') continue;
      const end = afterFault({ fault: kind, failures: 1000 }, fault(kind), 0, { random: 0.5 });
      assert.equal(end.state, 'backoff', kind);
    }
  });

  test('of throttling or quota, the account is left alone for as long as the source', () => {
    for (const kind of FAULTS) {
      const end = afterFault(null, fault(kind), 0, { random: 0.5 });
      assert.equal(end.slowForMs, kind === 'throttle' || kind === 'quota' ? end.dueInMs : null, kind);
    }
  });

  test('the server asked for more patience: it has it', () => {
    const hour = 60 * MINUTE_MS;
    assert.equal(afterFault(null, fault('throttle', 3 * hour), 0, { random: 0 }).dueInMs, 3 * hour);
    const short = afterFault(null, fault('throttle', 1), 0, { random: 0 });
    assert.ok(short.dueInMs >= 2 * MINUTE_MS, 'and never less than the class wants');
  });

  test('no server has an account left alone for longer than a day', () => {
    const week = 7 * 24 * 60 * MINUTE_MS;
    const { dueInMs } = afterFault(null, fault('throttle', week), 0, { random: 0 });
    assert.equal(dueInMs, 24 * 60 * MINUTE_MS);
  });
});

describe("the owner's bounds", () => {
  test('hold for faults of the network and the protocol', () => {
    for (const kind of ['network', 'protocol'] as const) {
      const before = { fault: kind, failures: 20 };
      const slow = afterFault(before, fault(kind), 0, { random: 0, backoffMinMs: 20 * MINUTE_MS });
      assert.equal(slow.dueInMs, 20 * MINUTE_MS, kind);
      const quick = afterFault(before, fault(kind), 0, { random: 0.999, backoffMaxMs: 10 * SECOND_MS });
      assert.equal(quick.dueInMs, 10 * SECOND_MS, kind);
    }
  });

  test('do not shorten what a server needs', () => {
    for (const kind of ['auth', 'throttle', 'quota'] as const) {
      const bounds = { random: 0, backoffMaxMs: 10 * SECOND_MS };
      const bounded = afterFault(null, fault(kind), 0, bounds);
      assert.equal(bounded.dueInMs, afterFault(null, fault(kind), 0, { random: 0 }).dueInMs, kind);
    }
  });
});
