import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { MailgressError } from '../../src/core/errors.ts';
import { createLoginMemory } from '../../src/doctor/context.ts';
import { createSecrets } from '../../src/doctor/hide-secrets.ts';
import { type Finding, ok, toReport, warn } from '../../src/doctor/report.ts';
import { type Check, runChecks } from '../../src/doctor/run-checks.ts';

const LIMITS = { checkMs: 10_000, totalMs: 30_000 };

const checkOf = (id: string, look: Check['look'], area: Check['area'] = 'mail'): Check => ({
  id,
  area,
  subject: id,
  look,
});

test('one that throws, at once or later, or never ends holds up no other, and each has its line', async () => {
  const lines = await runChecks(
    [
      checkOf('thrown', () => {
        throw new Error('at once');
      }),
      checkOf('rejected', async () => {
        throw new MailgressError('egress_blocked', 'not from here');
      }),
      checkOf('hanging', () => new Promise<Finding>(() => {})),
      checkOf('well', () => ok('well')),
    ],
    createSecrets(),
    { ...LIMITS, checkMs: 300 },
  );
  assert.deepEqual(
    lines.map(({ id, level, message }) => [id, level, message]),
    [
      ['thrown', 'fail', 'could not be looked at: at once'],
      ['rejected', 'fail', 'could not be looked at: not from here'],
      ['hanging', 'fail', 'no answer within 0 s'],
      ['well', 'ok', 'well'],
    ],
  );
});

test('the order is that of what was given, whichever ends first', async () => {
  const after = (ms: number) => async () => {
    await wait(ms);
    return ok('done');
  };
  const checks = [checkOf('a', after(60)), checkOf('b', after(1)), checkOf('c', after(30))];
  const lines = await runChecks(checks, createSecrets(), LIMITS);
  assert.deepEqual(
    lines.map(({ id }) => id),
    ['a', 'b', 'c'],
  );
});

test('of imap sources three are looked at at a time, and beside them the others', async () => {
  let [underWay, most] = [0, 0];
  const look = async () => {
    most = Math.max(most, ++underWay);
    await wait(20);
    underWay--;
    return ok('done');
  };
  const imap = Array.from({ length: 9 }, (_, at) => checkOf(`imap.${at}`, look, 'imap'));
  const lines = await runChecks(imap, createSecrets(), LIMITS);
  assert.equal(lines.length, 9);
  assert.equal(most, 3);
});

test('what has not begun when the time is over is told as not looked at', async () => {
  const hanging = () => new Promise<Finding>(() => {});
  const checks = Array.from({ length: 7 }, (_, at) => checkOf(`imap.${at}`, hanging, 'imap'));
  const lines = await runChecks(checks, createSecrets(), { checkMs: 400, totalMs: 300 });
  assert.deepEqual(
    lines.map(({ level }) => level),
    ['fail', 'fail', 'fail', 'warn', 'warn', 'warn', 'warn'],
  );
  assert.match(lines.at(-1)?.message ?? '', /not looked at/);
  assert.match(lines.at(-1)?.advice ?? '', /--source/);
});

describe('a secret', () => {
  test('is in no line, in whatever form a server quotes it', async () => {
    const secrets = createSecrets();
    secrets.add('p&ssword-7', undefined, '', null);
    const quoted = ['p&ssword-7', 'p%26ssword-7', Buffer.from('p&ssword-7').toString('base64')];
    const [line] = await runChecks(
      [checkOf('x', () => warn(quoted.join(' '), quoted.join(' ')))],
      secrets,
      LIMITS,
    );
    assert.deepEqual([line?.message, line?.advice], ['*** *** ***', '*** *** ***']);
  });

  test('that was learned during the run counts, and one of three letters takes none out of words', async () => {
    const secrets = createSecrets();
    const look = () => {
      secrets.add('refresh-token', 'the');
      return ok('the server says refresh-token');
    };
    const [line] = await runChecks([checkOf('x', look)], secrets, LIMITS);
    assert.equal(line?.message, 'the server says ***');
  });
});

test('a report is in the order of its areas, and counts', async () => {
  const secrets = createSecrets();
  const lines = await runChecks(
    [checkOf('m', () => warn('w', 'a')), checkOf('d', () => ok('fine'), 'database')],
    secrets,
    LIMITS,
  );
  const report = toReport(lines);
  assert.deepEqual(
    report.checks.map(({ id }) => id),
    ['d', 'm'],
  );
  assert.deepEqual([report.failures, report.warnings], [0, 1]);
});

test('a source is logged in to three times a minute at most, whoever asks', () => {
  let nowMs = 0;
  const memory = createLoginMemory(() => nowMs);
  const logins = [];
  for (nowMs = 0; nowMs < 60_000; nowMs += 1000) {
    if (memory.last('src_1') !== undefined) continue;
    logins.push(nowMs);
    memory.keep('src_1', ok('begun'));
    nowMs += 1000;
    memory.keep('src_1', ok(`done ${logins.length}`));
  }
  assert.deepEqual(logins, [0, 20_000, 40_000]);
  // Who asks meanwhile is told what came of it.
  nowMs = 59_000;
  assert.deepEqual(memory.last('src_1'), ok('done 3'));
  assert.equal(memory.last('src_2'), undefined);
});
