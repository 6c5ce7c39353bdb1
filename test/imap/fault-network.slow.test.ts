import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { sourceRetryMs } from '../../src/core/source-retry.ts';
import { DEFAULT_TIMEOUTS } from '../../src/sources/imap/connection.ts';
import { PROBE_MS } from '../../src/sources/imap/watch.ts';
import { startDovecot } from '../support/imap/dovecot.ts';
import type { Fault } from '../support/imap/fault-proxy.ts';
import { startFaultProxy } from '../support/imap/fault-proxy.ts';
import { mailTo, serverOf } from './stage.ts';
import { addNeighbour, assertUnsaid, startTroubledStage, waitForFailure } from './trouble.ts';

/*
 * Each fault befalls a running session of its own mailbox. The waits between tries are those of life; the server is asked more
 * often whether it is there, and given less time to answer.
 */

const dovecot = await startDovecot({ password: 'secret-Of-This-Test-5' });
after(() => dovecot.stop());
const stage = await startTroubledStage();
after(() => stage[Symbol.asyncDispose]());
const neighbour = await addNeighbour(stage, dovecot);
after(() => neighbour.proxy.close());

type Case = {
  name: string;
  fault: Fault;
  /** Connections to come suffer it too, until it is over. */
  lasts?: true;
  /** It strikes while this is on its way, and not while the session rests. */
  during?: 'a mail';
  /** What the source says of it; null: the session survives. */
  reason: RegExp | null;
};

const closed = /is lost: (it closed the connection|the connection was broken off)/;
const silent = /not answered for 3 seconds|fallen silent/;

const CASES: Case[] = [
  { name: 'ended', fault: { kind: 'cut', how: 'end' }, reason: closed },
  { name: 'reset', fault: { kind: 'cut', how: 'reset' }, reason: closed },
  {
    name: 'ended within a line',
    fault: { kind: 'cut', how: 'end', afterServerBytes: 5 },
    reason: closed,
  },
  {
    name: 'reset within a literal',
    fault: { kind: 'cut', how: 'reset', afterServerBytes: 20_000 },
    during: 'a mail',
    reason: closed,
  },
  {
    name: 'ended within a literal',
    fault: { kind: 'cut', how: 'end', afterServerBytes: 20_000 },
    during: 'a mail',
    reason: closed,
  },
  { name: 'a black hole', fault: { kind: 'black-hole' }, reason: silent },
  {
    name: 'a black hole for all connections',
    fault: { kind: 'black-hole' },
    lasts: true,
    reason: /no connection in time|no IMAP greeting|not answered/,
  },
  { name: 'half open', fault: { kind: 'half-open' }, reason: silent },
  { name: 'slow', fault: { kind: 'slow', bytesPerSecond: 20_000, delayMs: 60 }, reason: null },
  {
    name: 'garbage between responses',
    fault: { kind: 'inject', bytes: '* 17 garbage (\r\n', at: 'response-end' },
    reason: null,
  },
  {
    name: 'garbage within a response',
    fault: { kind: 'inject', bytes: '\0\xff{{(" * \r\n', at: 'anywhere' },
    during: 'a mail',
    reason: null,
  },
  { name: 'a BYE', fault: { kind: 'bye' }, reason: /closed the connection: "Server shutting down\."/ },
  {
    name: 'an endless literal',
    fault: { kind: 'endless-literal' },
    reason: /no IMAP, or too much of it|not answered|fallen silent/,
  },
  { name: 'an endless line', fault: { kind: 'endless-line' }, reason: silent },
  {
    name: 'no greeting any more',
    fault: { kind: 'greeting', afterMs: 'never' },
    lasts: true,
    reason: /no IMAP greeting|not answered/,
  },
  { name: 'greetings that come late', fault: { kind: 'greeting', afterMs: 1500 }, lasts: true, reason: null },
];

describe('a session that meets a fault loses no mail, and is back by itself', { concurrency: 6 }, () => {
  for (const [at, { name, fault, lasts = false, during, reason }] of CASES.entries())
    test(name, async () => {
      const user = `network-${at}@example.com`;
      await using proxy = await startFaultProxy(dovecot);
      const server = { host: proxy.host, port: proxy.port, password: dovecot.password };
      const { status, body } = await stage.addSource(user, serverOf(server, user));
      assert.equal(status, 201, JSON.stringify(body));
      await proxy.idling();
      await dovecot.deliver(user, mailTo(user, `before ${name}`));
      await stage.waitForSubjects([`before ${name}`], 40_000);
      const loginsBefore = proxy.loginsTried();
      const startedMs = performance.now();

      const large = `${'x'.repeat(76)}\r\n`.repeat(1500);
      if (during === undefined) proxy.set(fault, lasts ? 'all' : 'open');
      if (lasts && fault.kind === 'greeting') proxy.set({ kind: 'cut', how: 'end' }, 'open');
      if (during === 'a mail') proxy.set(fault, 'open');
      await dovecot.deliver(user, mailTo(user, `during ${name}`, large));
      if (reason !== null) {
        const source = await waitForFailure(stage, body.id, reason, 60_000);
        assertUnsaid(dovecot.password, user, source, stage.lines);
      }
      if (lasts && reason !== null) {
        // As after minutes: the network may fail for as long as it likes.
        await stage.sql`UPDATE sources SET failures = 5000 WHERE account = ${user}`;
        const tries = proxy.connectionsMade();
        await proxy.connected(tries + 1);
        await waitForFailure(stage, body.id, reason, 60_000);
      }
      if (lasts) await dovecot.deliver(user, mailTo(user, `late in ${name}`));
      if (reason !== null) proxy.set({ kind: 'pass' }, lasts ? 'all' : 'new');
      await dovecot.deliver(user, mailTo(user, `after ${name}`));
      const subjects = ['before', 'during', ...(lasts ? ['late in'] : []), 'after'];
      // 20 s for the longest wait, and what a busy machine takes.
      await stage.waitForSubjects(
        subjects.map((when) => `${when} ${name}`),
        60_000,
      );
      await stage.waitForState(body.id, 'idle', 60_000);
      const minutes = Math.max(1, (performance.now() - startedMs) / 60_000);
      const logins = proxy.loginsTried() - loginsBefore;
      assert.ok(logins <= 6 * minutes, `${logins} logins in ${minutes} minutes`);
      const told = await stage.events('source.disabled', body.id);
      assert.deepEqual(told, [], 'the network disables nothing');
    });
});

test('without IDLE, a connection that has died shows as soon, however rarely it is polled', async () => {
  const user = 'network-polled@example.com';
  await using polled = await startDovecot({ password: 'secret-Of-This-Test-6', idle: false });
  await using proxy = await startFaultProxy(polled);
  const server = { host: proxy.host, port: proxy.port, password: polled.password };
  const { body } = await stage.addSource(user, {
    ...serverOf(server, user),
    settings: { pollIntervalMs: 600_000 },
  });
  await stage.waitForState(body.id, 'polling');
  proxy.set({ kind: 'black-hole' }, 'open');
  await waitForFailure(stage, body.id, silent, 60_000);
  await stage.waitForState(body.id, 'polling', 60_000);
});

test('in life a silent connection is noticed within a minute, and the mailbox is back within 30 s', () => {
  assert.ok(PROBE_MS + DEFAULT_TIMEOUTS.commandMs <= 60_000);
  for (const failures of [1, 2, 3, 1000]) {
    assert.ok(sourceRetryMs('network', failures, 0.999999) + DEFAULT_TIMEOUTS.connectMs <= 30_000);
  }
});

test('all the while the other mailbox went on', () => neighbour.assertUntouched());

test('no mail came twice', () => {
  const subjects = stage.subjects();
  assert.equal(new Set(subjects).size, subjects.length);
});
