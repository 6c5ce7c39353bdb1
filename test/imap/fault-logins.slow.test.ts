import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import type { FaultCount, SourceFault } from '../../src/core/source-retry.ts';
import { ImapError } from '../../src/sources/imap/imap-error.ts';
import { afterFault } from '../../src/sources/imap/session-end.ts';
import { type CommandHandler, startScriptedServer } from '../support/imap/scripted-server.ts';
import { startTroubledStage } from './trouble.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const MOST_A_MINUTE = 6;

/** Holds that no minute has more logins than are allowed; times in ms, ascending. */
function assertSparse(times: readonly number[]): void {
  for (const start of times) {
    const within = times.filter((at) => at >= start && at < start + MINUTE_MS);
    assert.ok(within.length <= MOST_A_MINUTE, `${within.length} logins in a minute, at ${within.join(' ')}`);
  }
}

describe('a server that takes the login and spoils what follows is not asked for many', {
  concurrency: true,
}, async () => {
  // Every wait as short as it may be.
  const stage = await startTroubledStage({ random: () => 0 });
  after(() => stage[Symbol.asyncDispose]());

  const WATCHED_MS = 45 * SECOND_MS;
  const spoil =
    (how: (session: Parameters<CommandHandler>[1]) => void): CommandHandler =>
    (_command, session) => {
      session.send('* OK one moment');
      how(session);
      return undefined;
    };
  const WAYS: [string, Record<string, CommandHandler>][] = [
    ['it hangs up', { LIST: spoil((session) => session.end()) }],
    ['it resets', { LIST: spoil((session) => session.reset()) }],
    [
      'it says BYE',
      {
        LIST: spoil((session) => {
          session.send('* BYE for no reason');
          session.end();
        }),
      },
    ],
    ['it talks garbage', { LIST: () => ['* LIST ((((', '$tag OK done'] }],
    ['it refuses to select', { EXAMINE: () => '$tag NO no', SELECT: () => '$tag NO no' }],
    [
      'it refuses commands',
      {
        STATUS: () => '$tag BAD what',
        LIST: () => '$tag BAD what',
        EXAMINE: () => '$tag BAD what',
        SELECT: () => '$tag BAD what',
      },
    ],
    ['it hangs up on FETCH', { 'UID FETCH': spoil((session) => session.end()) }],
    ['it hangs up in IDLE', { IDLE: spoil((session) => session.end()) }],
  ];
  for (const [at, [name, handlers]] of WAYS.entries())
    test(name, async () => {
      await using server = await startScriptedServer();
      const user = `flapping-${at}@example.com`;
      const { status, body } = await stage.addSource(user, {
        ...{ host: '127.0.0.1', port: server.port, security: 'none' },
        auth: { type: 'password', user, password: 'x' },
      });
      assert.equal(status, 201, JSON.stringify(body));
      await stage.waitForState(body.id, 'idle');
      const times: number[] = [];
      for (const login of ['AUTHENTICATE', 'LOGIN']) {
        const usual = server.handlers[login];
        server.handlers[login] = (command, session) => {
          times.push(performance.now());
          return usual?.(command, session);
        };
      }
      Object.assign(server.handlers, handlers);
      server.arrive({ raw: `Subject: spoilt ${at}\r\n\r\nHello` });
      for (const session of server.sessions()) session.end();
      const endsMs = performance.now() + WATCHED_MS;
      // Whoever asks for looks all the time gets no more of them.
      while (performance.now() < endsMs) {
        await stage.service.api('POST', `/v1/sources/${body.id}/sync`, {});
        await wait(500);
      }
      assert.ok(times.length >= 1, 'it is tried again');
      const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
      assert.ok(
        times.length <= 4,
        `${times.length} logins in 45 s, ${gaps.map(Math.round).join(' ')} ms apart`,
      );
      for (const gap of gaps) assert.ok(gap >= 9 * SECOND_MS, `logins are ${gap} ms apart`);
      assert.deepEqual(await stage.events('source.disabled', body.id), []);
      await stage.service.api('DELETE', `/v1/sources/${body.id}`);
    });

  test('it lets three folders idle, and then hangs up on all', async () => {
    let logins = 0;
    await using server = await startScriptedServer();
    for (const name of ['AUTHENTICATE', 'LOGIN']) {
      const usual = server.handlers[name];
      server.handlers[name] = (command, session) => {
        logins++;
        return usual?.(command, session);
      };
    }
    const paths = ['INBOX', 'A', 'B'];
    server.handlers.LIST = () => [...paths.map((path) => `* LIST () "/" ${path}`), '$tag OK listed'];
    const select = server.handlers.EXAMINE;
    server.handlers.EXAMINE = (command, session) => select?.({ ...command, args: 'INBOX' }, session);
    const user = 'three@example.com';
    const { status, body } = await stage.addSource(user, {
      ...{ host: '127.0.0.1', port: server.port, security: 'none' },
      auth: { type: 'password', user, password: 'x' },
      folders: paths.map((path) => ({ path, idle: true })),
    });
    assert.equal(status, 201, JSON.stringify(body));
    await stage.waitForState(body.id, 'idle');
    const fromMs = performance.now();
    const before = logins;
    const flapping = setInterval(() => {
      if (server.sessions().filter(({ state }) => state === 'selected').length < 3) return;
      for (const session of server.sessions()) session.end();
    }, 200);
    await wait(WATCHED_MS);
    clearInterval(flapping);
    const allowed = 3 + (MOST_A_MINUTE * (performance.now() - fromMs)) / MINUTE_MS;
    assert.ok(logins - before >= 1);
    assert.ok(logins - before <= allowed, `${logins - before} logins, ${allowed} are allowed`);
    await stage.service.api('DELETE', `/v1/sources/${body.id}`);
  });
});

describe('whichever faults take turns, however long sessions live', () => {
  const FAULTS: readonly SourceFault[] = [
    ...(['network', 'tls', 'auth', 'throttle', 'folder', 'protocol', 'quota', 'store', 'internal'] as const),
  ];
  const step = fc.record({
    fault: fc.constantFrom(...FAULTS),
    lastedMs: fc.oneof(fc.constant(0), fc.nat(20 * SECOND_MS), fc.nat(10 * MINUTE_MS)),
    random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    logins: fc.integer({ min: 1, max: 3 }),
    backoffMinMs: fc.constantFrom(undefined, 10 * SECOND_MS, MINUTE_MS),
    backoffMaxMs: fc.constantFrom(undefined, 10 * SECOND_MS, MINUTE_MS),
    retryAfterMs: fc.constantFrom(undefined, 0, 1000, MINUTE_MS),
  });
  type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

  function run(steps: readonly Step[]): { logins: number[]; states: string[] } {
    let nowMs = 0;
    let before: FaultCount | null = null;
    const logins: number[] = [];
    const states: string[] = [];
    for (const { fault, lastedMs, random, logins: made, backoffMinMs, backoffMaxMs, retryAfterMs } of steps) {
      for (let at = 0; at < made; at++) logins.push(nowMs);
      nowMs += lastedMs;
      const error = new ImapError(fault, 'a fault', { retryAfterMs });
      const end = afterFault(before, error, lastedMs, { random, logins: made, backoffMinMs, backoffMaxMs });
      states.push(end.state);
      if (end.state === 'disabled') break;
      assert.ok(end.fault !== null);
      before = { fault: end.fault, failures: end.failures };
      nowMs += end.dueInMs;
    }
    return { logins, states };
  }

  test('there are at most 6 logins in any minute, and 3 more for the connections of one session', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        const { logins } = run(steps);
        for (const start of logins) {
          const within = logins.filter((at) => at >= start && at < start + MINUTE_MS);
          assert.ok(within.length <= MOST_A_MINUTE + 3, `${within.length} logins in a minute`);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('with one connection there are at most 6 in any minute', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        assertSparse(run(steps.map((one) => ({ ...one, logins: 1 }))).logins);
      }),
      { numRuns: 500 },
    );
  });

  test('nothing but three refused logins in a row disables', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        const { states } = run(steps);
        const disabledAt = states.indexOf('disabled');
        if (disabledAt === -1) return;
        const last = steps.slice(Math.max(0, disabledAt - 2), disabledAt + 1);
        assert.deepEqual(
          last.map(({ fault }) => fault),
          ['auth', 'auth', 'auth'],
        );
      }),
      { numRuns: 500 },
    );
  });
});
