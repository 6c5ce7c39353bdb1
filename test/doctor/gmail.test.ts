import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { addGmailSource, startGmailService, TOPIC } from '../gmail/gmail-service.ts';
import { hint, makeDue, openWorld, untilFree } from '../gmail/stage.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { noScope, noTopicRights, serverError } from '../support/gmail/faults.ts';
import { assertLine, type DoctorStage, failing, startDoctorStage } from './stage.ts';

const ACCOUNTS = ['ada', 'bob', 'cy', 'dan', 'eve', 'fay', 'gus', 'hal'].map((name) => `${name}@example.com`);
const world = await openWorld({ accounts: ACCOUNTS });
const PUBSUB = {
  MAILGRESS_PUBSUB_SERVICE_ACCOUNT: 'push@test.iam.gserviceaccount.com',
  MAILGRESS_PUBSUB_AUDIENCE: 'mailgress',
};

let stage: DoctorStage;
before(async () => {
  stage = await startDoctorStage({
    env: { ...world.env, GMAIL_TOPIC: TOPIC, ...PUBSUB },
    start: (options) => startGmailService(world, options),
  });
});
after(() => stage[Symbol.asyncDispose]());

async function add(account: string): Promise<Id<'src'>> {
  const { id } = await addGmailSource(stage.service, world, account);
  await untilFree(stage.sql, id);
  return id;
}

test('well: it may be read, a push has come since its watch was made; then each fault by what it is', async () => {
  const { sql } = stage;
  const [ada = '', bob = '', cy = '', dan = '', eve = '', fay = '', gus = '', hal = ''] = ACCOUNTS;
  const forbidden = world.addRule(({ name, account }) =>
    name === 'watch' && account === cy ? noTopicRights(TOPIC) : undefined,
  );
  const [well, revoked, noRights, untold, lapsing, noMetadata, away, late] = [
    await add(ada),
    await add(bob),
    await add(cy),
    await add(dan),
    await add(eve),
    await add(fay),
    await add(gus),
    await add(hal),
  ];
  await hint(sql, ada, await world.historyId(ada));
  await untilFree(sql, well);
  const now = await stage.examine();
  assertLine(now, `gmail.${well}.access`, 'ok', /may be read/);
  assertLine(now, `gmail.${well}.push`, 'ok', /last one \d+ \w+ ago; its watch ends in 7 days/);
  assertLine(now, `gmail.${noRights}.push`, 'fail', /no watch: Gmail answers 403/, /Publisher/);
  assertLine(now, `gmail.${untold}.push`, 'ok', /none yet, and no mail either/);
  assertLine(now, 'pubsub.topic', 'ok', /projects\/test\/topics\/gmail/);
  // The service listens on loopback here, which no push reaches.
  assertLine(now, 'public-url.reach', 'warn', /this machine alone/);
  assert.deepEqual(failing(now), [`gmail.${noRights}.push`]);
  forbidden();

  await world.revoke(bob);
  const rule = world.addRule(({ name, account }) => {
    // A consent for headers alone: the profile is shown, a search is not.
    if (account === fay && name === 'messages.list') return noScope();
    return account === gus && name === 'getProfile' ? serverError() : undefined;
  });
  await sql`UPDATE sources SET last_message_at = now() + interval '20 minutes' WHERE id = ${uuidOf(untold)}`;
  await sql`UPDATE gmail_watches SET expires_at = now() + interval '3 days' WHERE account = ${eve}`;
  await sql`UPDATE gmail_watches SET expires_at = now() - interval '3 hours' WHERE account = ${hal}`;
  const examined = await stage.examine();
  rule();
  assertLine(examined, `gmail.${well}.access`, 'ok', /may be read/);
  assertLine(
    examined,
    `gmail.${revoked}.access`,
    'fail',
    /invalid_grant/,
    /source add --kind gmail --mailbox bob@/,
  );
  assertLine(examined, `gmail.${untold}.push`, 'fail', /no push told of it \(none ever\)/, /subscription/);
  assertLine(
    examined,
    `gmail.${lapsing}.push`,
    'warn',
    /ends in 3 days, and should have been renewed/,
    /serve/,
  );
  assertLine(examined, `gmail.${late}.push`, 'fail', /its watch ended 3 h ago/, /serve/);
  assertLine(examined, `gmail.${noMetadata}.access`, 'fail', /403/, /gmail\.readonly/);
  assertLine(examined, `gmail.${away}.access`, 'fail', /503/, /Google is reached/);
  for (const account of ACCOUNTS) assert.ok(!examined.text.includes(world.refreshToken(account)));
  assert.ok(!examined.text.includes(world.client.secret));
  assert.equal(examined.code, failing(examined).length);

  await makeDue(sql, revoked);
  await waitUntil('the service has found it out', async () => {
    const { body } = await stage.service.api('GET', `/v1/sources/${revoked}`);
    return body.state === 'needs_reauth';
  });
  const waiting = await stage.examine({ only: revoked });
  assertLine(
    waiting,
    `gmail.${revoked}.access`,
    'fail',
    /needs a new consent: .*invalid_grant/,
    /source add/,
  );
  assert.ok(!waiting.text.includes('/connect/google'), 'the link lets whoever has it consent');
});

test('without a client nothing can be read, and it says which variables are missing', async () => {
  const { GOOGLE_CLIENT_ID: _, GOOGLE_CLIENT_SECRET: __, ...env } = stage.env;
  const [source] = (await stage.service.api('GET', '/v1/sources')).body.data;
  const without = await stage.examine(
    { only: source.id },
    {
      ...env,
      GOOGLE_CLIENT_ID: '',
      GOOGLE_CLIENT_SECRET: '',
    },
  );
  assertLine(without, `gmail.${source.id}.access`, 'fail', /GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET/);
});

for (const [name, env, id, level, says] of [
  ['no topic', { GMAIL_TOPIC: '' }, 'pubsub.topic', 'warn', /asked once a minute/],
  [
    'a topic, and nobody who may push from it',
    { MAILGRESS_PUBSUB_AUDIENCE: '', MAILGRESS_PUBSUB_SERVICE_ACCOUNT: '' },
    'pubsub.topic',
    'fail',
    /are refused/,
  ],
  [
    "a topic in another project than the client's, by number",
    { GMAIL_TOPIC: 'projects/999/topics/gmail' },
    'pubsub.topic',
    'fail',
    /not in project 123456789012/,
  ],
  [
    "a topic in another project than the service account's",
    { GOOGLE_CLIENT_ID: '', GOOGLE_CLIENT_SECRET: '' },
    'pubsub.topic',
    'fail',
    /not in project test-project/,
  ],
  [
    "Gmail's own account in the place of the subscription's",
    { MAILGRESS_PUBSUB_SERVICE_ACCOUNT: 'gmail-api-push@system.gserviceaccount.com' },
    'pubsub.identity',
    'fail',
    /writes to the topic/,
  ],
  [
    'an account that is none of Google',
    { MAILGRESS_PUBSUB_SERVICE_ACCOUNT: 'me@example.com' },
    'pubsub.identity',
    'warn',
    /no service account/,
  ],
  [
    'an audience at another host',
    { MAILGRESS_PUBSUB_AUDIENCE: 'https://other.example.com/v1/ingest/pubsub' },
    'pubsub.audience',
    'warn',
    /another host/,
  ],
] as const)
  test(`of pushes: ${name}`, async () => {
    assertLine(await stage.examine({}, env), id, level, says);
  });
