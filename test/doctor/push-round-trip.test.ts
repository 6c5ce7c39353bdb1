import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Id } from '../../src/core/ids.ts';
import { addGmailSource, startGmailService, TOPIC } from '../gmail/gmail-service.ts';
import { openWorld, untilFree } from '../gmail/stage.ts';
import { noTopicRights } from '../support/gmail/faults.ts';
import { createPushDriver, type PushDriver } from '../support/gmail/push-driver.ts';
import { type PushTokens, startPushTokens } from '../support/push-tokens.ts';
import { assertLine, type DoctorStage, startDoctorStage } from './stage.ts';

/* `doctor --live`: Gmail's push, asked for, all the way to the door. */

const ADA = 'ada@example.com';
const world = await openWorld({ accounts: [ADA] });
let google: PushTokens;
let pubsub: PushDriver;
let stage: DoctorStage;
let source: Id<'src'>;
/** What Pub/Sub does with a notification. */
let forward = (_account: string, _historyId: string) => {};
before(async () => {
  google = await startPushTokens();
  stage = await startDoctorStage({
    pubsub: google.options,
    env: { ...world.env, ...google.env, GMAIL_TOPIC: TOPIC },
    start: (options) => startGmailService(world, options),
  });
  pubsub = createPushDriver({ url: `${stage.service.address}/v1/ingest/pubsub`, tokens: google });
  // The emulator's watch sends nothing; Gmail's does at once.
  world.addHook(async ({ name, account }, moment) => {
    if (name === 'watch' && moment === 'answered') forward(account ?? '', await world.historyId(ADA));
  });
  source = (await addGmailSource(stage.service, world, ADA)).id;
  await untilFree(stage.sql, source);
});
after(async () => {
  await pubsub.close();
  await stage[Symbol.asyncDispose]();
  await google[Symbol.asyncDispose]();
});

const watches = () => world.ledger.count({ name: 'watch', account: ADA });

test('a push that comes is ok, and only --live asks for one', async () => {
  forward = (account, historyId) => pubsub.publish(account, historyId);
  const before = watches();
  const usual = await stage.examine({ only: source });
  assert.ok(!usual.text.includes('round-trip'));
  assert.equal(watches(), before);

  const live = await stage.examine({ only: source, isLive: true });
  assertLine(live, `gmail.${source}.round-trip`, 'ok', /it came within \d+ s/);
  assert.equal(watches(), before + 1);
  assert.ok(!live.text.includes(world.refreshToken(ADA)));
});

test('one that does not come fails, with what to look at', async () => {
  forward = () => {};
  const examined = await stage.examine({ only: source, isLive: true, pushPatienceMs: 1000 });
  assertLine(
    examined,
    `gmail.${source}.round-trip`,
    'fail',
    /none came within 1 s/,
    /subscription of projects\/test\/topics\/gmail pushes to http.*\/v1\/ingest\/pubsub/,
  );
});

test('a push that is refused at the door has not come', async () => {
  pubsub.moveTo(`${stage.service.address}/v1/ingest/pubsub/nowhere`);
  forward = (account, historyId) => pubsub.publish(account, historyId);
  const examined = await stage.examine({ only: source, isLive: true, pushPatienceMs: 1000 });
  assertLine(examined, `gmail.${source}.round-trip`, 'fail', /none came/);
  pubsub.moveTo(`${stage.service.address}/v1/ingest/pubsub`);
});

test('a watch that Gmail refuses is told with the right that is missing', async () => {
  const remove = world.fail({ name: 'watch', account: ADA }, noTopicRights(TOPIC));
  const examined = await stage.examine({ only: source, isLive: true, pushPatienceMs: 1000 });
  remove();
  assertLine(examined, `gmail.${source}.round-trip`, 'fail', /not asked for a push: .*403/, /Publisher/);
});

test('without a topic, or anybody who may push from it, there is none to wait for', async () => {
  const before = watches();
  for (const env of [
    { GMAIL_TOPIC: '' },
    { MAILGRESS_PUBSUB_AUDIENCE: '', MAILGRESS_PUBSUB_SERVICE_ACCOUNT: '' },
  ]) {
    assert.ok(!(await stage.examine({ only: source, isLive: true }, env)).text.includes('round-trip'));
  }
  assert.equal(watches(), before);
});
