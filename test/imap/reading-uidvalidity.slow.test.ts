import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { eventsOf, mailsOf, placeIn, startAnew, stop, untilRead, untilRecovered } from './reading.ts';
import { mailTo, serverOf, startStage, until } from './stage.ts';

/*
 * A folder that gets another UIDVALIDITY is read anew, from before it was last read: nothing is lost in between, and nothing
 * comes twice.
 */

const dovecot = await startDovecot();
const stage = await startStage({ random: () => 0, imapProbeMs: 400 }, [
  'message.received',
  'gap.opened',
  'gap.recovered',
]);
after(async () => {
  await stage[Symbol.asyncDispose]();
  await dovecot.stop();
});

async function watch(user: string, extra: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await stage.addSource(user, { ...serverOf(dovecot, user), ...extra });
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return body.id;
}

async function untilUnder(id: string, uidValidity: number, path = 'INBOX'): Promise<void> {
  await until(
    async () => (await placeIn(stage, id, path)).uidValidity === uidValidity,
    40_000,
    () => `${path} is not read under ${uidValidity}`,
  );
}

describe('another UIDVALIDITY', () => {
  test('while it is connected: nothing is lost and nothing twice, and the gap is told and closed', async () => {
    const user = 'flip-connected@example.com';
    const id = await watch(user);
    await dovecot.deliver(user, mailTo(user, 'before the flip'));
    await stage.waitForSubjects(['before the flip']);
    await untilRead(stage, id, 1);
    const before = await placeIn(stage, id);
    const uidValidity = await dovecot.flipUidValidity(user);
    await dovecot.deliver(user, mailTo(user, 'after the flip'));
    await stage.waitForSubjects(['before the flip', 'after the flip'], 40_000);
    await untilUnder(id, uidValidity);
    const [gap, ...others] = await untilRecovered(stage, id, 1);
    assert.equal(others.length, 0);
    assert.equal(gap.reason, 'uidvalidity_changed');
    assert.equal(gap.from, `INBOX;UIDVALIDITY=${before.uidValidity}/;UID=1`);
    assert.match(gap.to, new RegExp(`^INBOX;UIDVALIDITY=${uidValidity}/;UID=\\d+$`));
    assert.equal(gap.recoveredBy, 'search');
    for (const type of ['gap.opened', 'gap.recovered']) {
      const told = () => eventsOf(stage, type).filter((data) => data.gap.sourceId === id);
      await until(
        () => told().length === 1,
        20_000,
        () => `${told().length} of ${type}`,
      );
      assert.equal(told()[0].gap.id, gap.id);
      assert.equal(told()[0].gap.recoveredAt === null, type === 'gap.opened');
    }
  });

  test('while the worker is away: what came under either is read, once', async () => {
    const user = 'flip-away@example.com';
    const id = await watch(user);
    const folders = ['INBOX', 'Junk'];
    for (const folder of folders) await dovecot.deliver(user, mailTo(user, `known in ${folder}`), { folder });
    await stage.waitForSubjects(folders.map((folder) => `known in ${folder}`));
    for (const folder of folders) await untilRead(stage, id, 1, folder);
    await stop(stage, id);
    for (const folder of folders) {
      await dovecot.deliver(user, mailTo(user, `under the old in ${folder}`), { folder });
      await dovecot.flipUidValidity(user, folder);
      await dovecot.deliver(user, mailTo(user, `under the new in ${folder}`), { folder });
    }
    await stage.service.api('POST', `/v1/sources/${id}/start`);
    await stage.waitForSubjects(
      folders.flatMap((folder) => [
        `known in ${folder}`,
        `under the old in ${folder}`,
        `under the new in ${folder}`,
      ]),
      40_000,
    );
    const gaps = await untilRecovered(stage, id, 2);
    assert.deepEqual(
      gaps.map(({ reason, recovered }) => [reason, recovered]),
      [
        ['uidvalidity_changed', 2],
        ['uidvalidity_changed', 2],
      ],
    );
  });

  test('several times in a row, with mail between: each mail once, each gap closed', async () => {
    const user = 'flips@example.com';
    const id = await watch(user);
    const subjects = [];
    for (let flip = 0; flip < 6; flip++) {
      const subject = `between flips ${flip}`;
      subjects.push(subject);
      await dovecot.deliver(user, mailTo(user, subject));
      await dovecot.flipUidValidity(user);
    }
    await stage.waitForSubjects(subjects, 60_000);
    await untilUnder(id, (await dovecot.status(user)).uidValidity);
    await untilRecovered(stage, id, 1);
    await dovecot.deliver(user, mailTo(user, 'after all flips'));
    await stage.waitForSubjects([...subjects, 'after all flips'], 40_000);
  });

  test('back to an earlier one: the same', async () => {
    const user = 'flip-back@example.com';
    const id = await watch(user);
    await dovecot.deliver(user, mailTo(user, 'first of them'));
    await stage.waitForSubjects(['first of them']);
    const { uidValidity: first } = await dovecot.status(user);
    for (const [at, uidValidity] of [first + 7, first, first + 7].entries()) {
      await stop(stage, id);
      await dovecot.deliver(user, mailTo(user, `away ${at}`));
      await dovecot.flipUidValidity(user, 'INBOX', uidValidity);
      await startAnew(stage, id);
      await stage.waitForSubjects(['first of them', `away ${at}`], 40_000);
      await untilUnder(id, uidValidity);
    }
    await untilRecovered(stage, id, 1);
  });

  test('while old mail is being read: all of it is read, once', async () => {
    const user = 'flip-backfill@example.com';
    const subjects = Array.from({ length: 700 }, (_, at) => `old and flipped ${at}`);
    for (const subject of subjects) await dovecot.drop(user, mailTo(user, subject));
    const since = new Date(Date.now() - 86_400_000).toISOString();
    const { body } = await stage.addSource(user, { ...serverOf(dovecot, user), since });
    const count = () => stage.subjects().filter((subject) => subject.startsWith('old and flipped')).length;
    for (const share of [50, 300]) {
      await until(
        () => count() >= share,
        60_000,
        () => `${count()} came`,
      );
      await dovecot.flipUidValidity(user);
    }
    await stage.waitForSubjects(subjects, 60_000);
    const gaps = await untilRecovered(stage, body.id, 2);
    assert.ok(gaps.some(({ reason }) => reason === 'requested'));
    assert.ok(gaps.some(({ reason }) => reason === 'uidvalidity_changed'));
    const { lag, counts } = await stage.readSource(body.id);
    assert.equal(lag, 0);
    assert.equal(counts.missing, 0, 'what was listed under the old UIDs is found under the new ones');
  });
});

test('nothing of this came twice', () => {
  const subjects = mailsOf(stage).map(({ subject }) => subject);
  assert.equal(new Set(subjects).size, subjects.length);
});
