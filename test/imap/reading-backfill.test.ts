import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { gapsOf, look, mailsOf, untilRecovered } from './reading.ts';
import { mailTo, serverOf, startStage, until } from './stage.ts';

/*
 * Old mail is read when somebody asks for it, once, and new mail does not wait for it.
 */

const dovecot = await startDovecot();
const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
after(async () => {
  await stage[Symbol.asyncDispose]();
  await dovecot.stop();
});

const HOUR_MS = 3_600_000;
const hoursAgo = (hours: number) => new Date(Date.now() - hours * HOUR_MS);

async function drop(user: string, subject: string, hours: number, folder = 'INBOX'): Promise<void> {
  await dovecot.drop(user, mailTo(user, subject), { internalDate: hoursAgo(hours), folder });
}

async function watch(user: string, extra: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await stage.addSource(user, { ...serverOf(dovecot, user), ...extra });
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}

describe('old mail', () => {
  test('is read from a time on that is given at creation: of all folders, to the second', async () => {
    const user = 'since@example.com';
    const since = hoursAgo(10);
    await drop(user, 'older than that', 30);
    await drop(user, 'the same day and older', 10.01);
    await drop(user, 'just younger', 9.99);
    await drop(user, 'younger in junk', 5, 'Junk');
    await drop(user, 'older in junk', 20, 'Junk');
    const id = await watch(user, { since: since.toISOString() });
    await stage.waitForSubjects(['just younger', 'younger in junk']);
    const gaps = await untilRecovered(stage, id, 2);
    assert.ok(gaps.every(({ reason }) => reason === 'requested'));
    assert.equal(
      gaps.reduce((sum, { recovered }) => sum + recovered, 0),
      2,
    );
    await dovecot.deliver(user, mailTo(user, 'new since then'));
    await stage.waitForSubjects(['new since then']);
    for (const subject of ['older than that', 'the same day and older', 'older in junk'])
      assert.ok(!stage.subjects().includes(subject), subject);
  });

  test('is read when it is asked for later; what is stored already does not come again', async () => {
    const user = 'later@example.com';
    await drop(user, 'from yesterday', 24);
    await drop(user, 'from this morning', 6);
    const id = await watch(user);
    await stage.waitForState(id, 'idle');
    await dovecot.deliver(user, mailTo(user, 'from now'));
    await stage.waitForSubjects(['from now']);
    assert.equal(stage.subjects().includes('from this morning'), false);

    await look(stage, id, { since: hoursAgo(12).toISOString() });
    await stage.waitForSubjects(['from this morning', 'from now']);
    await untilRecovered(stage, id, 2);
    assert.equal(stage.subjects().includes('from yesterday'), false);

    await look(stage, id, { since: hoursAgo(48).toISOString() });
    await stage.waitForSubjects(['from yesterday', 'from this morning', 'from now']);
    const gaps = await untilRecovered(stage, id, 2);
    assert.equal(gaps.length, 2, 'a wish that is said again is the same one, wider');
  });

  test('is asked for while the source is stopped: it has to be started first', async () => {
    const user = 'stopped@example.com';
    const id = await watch(user);
    await stage.service.api('POST', `/v1/sources/${id}/stop`);
    const { status, body } = await stage.service.api('POST', `/v1/sources/${id}/sync`, {
      since: hoursAgo(1).toISOString(),
    });
    assert.equal(status, 409);
    assert.equal(body.code, 'source_stopped');
  });

  test('comes in the order in which the folder has it', async () => {
    const user = 'ordered@example.com';
    const subjects = Array.from({ length: 150 }, (_, at) => `ordered ${at}`);
    for (const subject of subjects) await drop(user, subject, 3);
    const id = await watch(user, { since: hoursAgo(6).toISOString() });
    await stage.waitForSubjects(subjects, 60_000);
    await untilRecovered(stage, id, 2);
    // Stored a page at a time: within one the order of the database counts.
    let stored: number[] = [];
    await until(
      async () => {
        const { body } = await stage.service.api('GET', '/v1/events?types=message.received&limit=500');
        stored = body.data
          .map(({ data }: { data: { subject: string } }) => data.subject)
          .filter((subject: string) => subject.startsWith('ordered'))
          .map((subject: string) => Number(subject.slice('ordered '.length)));
        return stored.length >= subjects.length;
      },
      20_000,
      () => `the feed has ${stored.length} of them`,
    );
    assert.equal(stored.length, subjects.length);
    for (const [at, number] of stored.entries())
      assert.ok(Math.abs(at - number) < 64, `${number} came as ${at}`);
  });
});

describe('a reset', () => {
  test('reads again from the last good look on, and nothing comes twice', async () => {
    const user = 'reset@example.com';
    const id = await watch(user);
    await stage.waitForState(id, 'idle');
    await dovecot.deliver(user, mailTo(user, 'before the reset'));
    await stage.waitForSubjects(['before the reset']);
    await stage.service.api('POST', `/v1/sources/${id}/stop`);
    await stage.waitForState(id, 'disconnected');
    await dovecot.deliver(user, mailTo(user, 'while it was stopped'));
    const { status } = await stage.service.api('POST', `/v1/sources/${id}/reset`);
    assert.equal(status, 200);
    await stage.service.api('POST', `/v1/sources/${id}/start`);
    await stage.waitForSubjects(['before the reset', 'while it was stopped']);
    await dovecot.deliver(user, mailTo(user, 'after the reset'));
    await stage.waitForSubjects(['before the reset', 'while it was stopped', 'after the reset']);
    await untilRecovered(stage, id, 1);
  });

  test('of a source that is running: whoever reads it loses it, and it goes on', async () => {
    const user = 'reset-running@example.com';
    const id = await watch(user);
    await stage.waitForState(id, 'idle');
    for (let round = 0; round < 3; round++) {
      await dovecot.deliver(user, mailTo(user, `round ${round}`));
      await stage.service.api('POST', `/v1/sources/${id}/reset`);
    }
    await dovecot.deliver(user, mailTo(user, 'round 3'));
    await stage.waitForSubjects(['round 0', 'round 1', 'round 2', 'round 3'], 40_000);
    await untilRecovered(stage, id, 1);
    await stage.waitForState(id, 'idle');
  });
});

describe('a large backfill', () => {
  test('of several pages is read whole and once, and new mail does not wait behind it', async () => {
    const user = 'backfill@example.com';
    const subjects = Array.from({ length: 1200 }, (_, at) => `backfill ${at}`);
    for (const subject of subjects) await drop(user, subject, 2);
    const id = await watch(user, { since: hoursAgo(6).toISOString() });
    const count = () => stage.subjects().filter((subject) => subject.startsWith('backfill ')).length;
    await until(
      () => count() >= 50,
      40_000,
      () => `${count()} came`,
    );
    await dovecot.deliver(user, mailTo(user, 'new meanwhile'));
    await dovecot.deliver(user, mailTo(user, 'new in junk meanwhile'), { folder: 'Junk' });
    await stage.waitForSubjects([...subjects, 'new meanwhile', 'new in junk meanwhile'], 90_000);
    const order = mailsOf(stage)
      .filter(({ source }) => source.id === id)
      .map(({ subject }) => subject);
    for (const subject of ['new meanwhile', 'new in junk meanwhile'])
      assert.ok(order.indexOf(subject) < order.length - 100, `${subject} came as ${order.indexOf(subject)}`);
    await untilRecovered(stage, id, 2);
    const inbox = (await gapsOf(stage, id)).find(({ from }) => from === 'INBOX');
    // The new one may be among those that are listed.
    assert.ok(inbox.listed >= 1200 && inbox.listed <= 1201, `${inbox.listed} were listed`);
    assert.equal((await stage.readSource(id)).lag, 0);
  });

  test('of another folder does not hold up the inbox', async () => {
    const user = 'backfill-junk@example.com';
    const subjects = Array.from({ length: 800 }, (_, at) => `junk backfill ${at}`);
    for (const subject of subjects) await drop(user, subject, 2, 'Junk');
    const id = await watch(user, { since: hoursAgo(6).toISOString() });
    const count = () => stage.subjects().filter((subject) => subject.startsWith('junk backfill ')).length;
    await until(
      () => count() >= 50,
      40_000,
      () => `${count()} came`,
    );
    await dovecot.deliver(user, mailTo(user, 'new in the inbox'));
    await stage.waitForSubjects([...subjects, 'new in the inbox'], 90_000);
    const order = mailsOf(stage)
      .filter(({ source }) => source.id === id)
      .map(({ subject }) => subject);
    const at = order.indexOf('new in the inbox');
    assert.ok(at < order.length - 100, `it came as ${at} of ${order.length}`);
  });
});
