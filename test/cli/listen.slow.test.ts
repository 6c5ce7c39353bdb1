import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { type Consumer, startConsumer } from '../support/consumer.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { startMailgress } from '../support/process.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';

let service: TestService;
let source: PushSource;
let directory: string;
before(async () => {
  service = await startTestService({ dispatch: false });
  source = await addSource(service);
  directory = await mkdtemp(join(tmpdir(), 'mailgress-listen-'));
});
after(async () => {
  await service.dispose();
  await rm(directory, { recursive: true });
});

let mails = 0;
async function addMail(subject: string, to: { push: TestService['push'] } = service): Promise<void> {
  const answer = await to.push(
    source,
    batch([gmailItem((++mails + 0xdef000).toString(16), mailOf(subject))]),
  );
  assert.equal(answer.status, 200);
}

const listen = (forward: string, ...args: string[]) =>
  startMailgress(['listen', '--forward', forward, ...args], {
    MAILGRESS_PUBLIC_URL: service.address,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_DATA_DIR: directory,
  });

const subjectsOf = ({ received }: Consumer) => received.map(({ body }) => JSON.parse(body).data.subject);

test('forwards events as webhooks that verify with the secret it prints, and says what came of each', async () => {
  await using consumer = await startConsumer((response) => response.writeHead(201).end('made'));
  await using command = listen(consumer.url, '--types', 'message.received');
  await command.prints('verify with  whsec_');
  await kept(consumer.url);
  await addMail('Forwarded');
  const [one] = await consumer.waitFor(1);
  await command.prints('201 in ');
  command.kill('SIGINT');
  const { code, stdout, told } = await command.ended;
  assert.equal(code, 0);
  assert.deepEqual(told, []);
  const [, secret = ''] = /verify with {2}(whsec_\S+)/.exec(stdout) ?? [];
  const headers = one?.headers as Record<string, string>;
  const event = new Webhook(secret).verify(one?.body ?? '', headers) as Record<string, unknown>;
  assert.deepEqual(Object.keys(event), ['type', 'timestamp', 'data']);
  const { body } = await service.api('GET', '/v1/events?types=message.received');
  const logged = body.data.at(-1);
  assert.deepEqual(event, { type: logged.type, timestamp: logged.timestamp, data: logged.data });
  assert.equal(headers['webhook-id'], logged.id);
  assert.match(stdout, /^\S+Z {2}message\.received {2}\S+@example\.com {2}Forwarded {2}201 in \d+ ms$/m);
});

/** Waits until a run on this program has a place to resume from. */
async function kept(url: string): Promise<void> {
  const { findStatePath } = await import('../../src/cli/listen-state.ts');
  await waitUntil('its place is kept', async () => {
    const text = await readFile(findStatePath(directory, service.address, url), 'utf8').catch(() => '{}');
    return typeof JSON.parse(text).cursor === 'string';
  });
}

test('goes on where it stopped, with the same secret, in a file that only its owner reads', async () => {
  await using consumer = await startConsumer();
  const state = join(directory, 'mine.json');
  const run = () => listen(consumer.url, '--state', state, '--since', 'now', '--json');
  await using first = run();
  await waitUntil('its place is kept', async () =>
    (await readFile(state, 'utf8').catch(() => '')).includes('"cursor":"'),
  );
  await addMail('One');
  await consumer.waitFor(1);
  await first.prints('"subject":"One"');
  first.kill('SIGTERM');
  const { stdout } = await first.ended;
  await addMail('Two');
  await addMail('Three');
  await using second = listen(consumer.url, '--state', state, '--json');
  await second.prints('"subject":"Three"');
  assert.deepEqual(subjectsOf(consumer), ['One', 'Two', 'Three']);
  second.kill('SIGINT');
  const lines = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  const again = lines((await second.ended).stdout);
  assert.equal(again[0].secret, lines(stdout)[0].secret);
  assert.deepEqual(
    again
      .slice(1)
      .map(({ subject, status, attempt, retryInMs }) => ({ subject, status, attempt, retryInMs })),
    ['Two', 'Three'].map((subject) => ({ subject, status: 204, attempt: 1, retryInMs: null })),
  );
  assert.equal((await stat(state)).mode & 0o777, 0o600);
});

test('tries again while the program is down or refuses, and keeps the order', async () => {
  const state = join(directory, 'down.json');
  let refusals = 2;
  await using consumer = await startConsumer((response) =>
    response.writeHead(refusals-- > 0 ? 500 : 204).end(),
  );
  const { url } = consumer;
  await consumer.close();
  await using command = listen(url, '--state', state, '--types', 'message.received');
  await waitUntil('its place is kept', async () =>
    (await readFile(state, 'utf8').catch(() => '')).includes('"cursor":"'),
  );
  for (const subject of ['A', 'B', 'C']) await addMail(subject);
  await command.prints('; again in 1 s');
  await using back = await startConsumer(
    (response) => response.writeHead(refusals-- > 0 ? 500 : 204).end(),
    Number(new URL(url).port),
  );
  await back.waitFor(5);
  assert.deepEqual(subjectsOf(back), ['A', 'A', 'A', 'B', 'C']);
  const ids = back.received.map(({ headers }) => headers['webhook-id']);
  assert.equal(new Set(ids.slice(0, 3)).size, 1, 'under one id');
});

test('with --skip-refused goes on after an answer, not while the program is down', async () => {
  await using consumer = await startConsumer((response) => response.writeHead(400).end());
  await using command = listen(consumer.url, '--skip-refused', '--types', 'message.received');
  await kept(consumer.url);
  await addMail('Refused');
  await addMail('Refused too');
  await command.prints('Refused too  400 in ');
  assert.deepEqual(subjectsOf(consumer), ['Refused', 'Refused too']);
});

test('goes on when the service comes back', async () => {
  const first = await startTestService({ databaseUrl: service.databaseUrl, dispatch: false });
  await using consumer = await startConsumer();
  const state = join(directory, 'back.json');
  await using command = startMailgress(['listen', '--forward', consumer.url, '--state', state], {
    MAILGRESS_PUBLIC_URL: first.address,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_DATA_DIR: directory,
  });
  await waitUntil('its place is kept', async () =>
    (await readFile(state, 'utf8').catch(() => '')).includes('"cursor":"'),
  );
  await first.stop();
  await command.says('lost the service');
  await addMail('Meanwhile');
  const port = Number(new URL(first.address).port);
  const second = await startTestService({ databaseUrl: service.databaseUrl, dispatch: false, port });
  await consumer.waitFor(1);
  assert.deepEqual(subjectsOf(consumer), ['Meanwhile']);
  command.kill('SIGINT');
  await command.ended;
  await second.stop();
});

const cases: [what: string, args: string[], code: number, words: RegExp][] = [
  ['a URL that is none', ['localhost:3000'], 64, /--forward localhost:3000: must be a URL/],
  ['a URL with a password', ['http://a:b@localhost/'], 64, /must have no user name and password/],
  [
    'a cursor that is none',
    ['http://127.0.0.1:9/', '--since', 'yesterday'],
    65,
    /after: must be the `cursor`/,
  ],
  [
    'a type that there is not',
    ['http://127.0.0.1:9/', '--types', 'mail'],
    65,
    /types: must be of message\.received/,
  ],
  ['a key that is not one', ['http://127.0.0.1:9/', '--token', 'wrong'], 78, /does not accept the key/],
  [
    'a service that is not there',
    ['http://127.0.0.1:9/', '--url', 'http://127.0.0.1:9'],
    69,
    /Nobody answers/,
  ],
];
for (const [what, args, code, words] of cases) {
  test(`says what is wrong with ${what}`, async () => {
    const [forward = '', ...rest] = args;
    await using command = listen(forward, ...rest);
    const ended = await command.ended;
    assert.match(ended.stderr, words);
    assert.equal(ended.code, code);
  });
}

test('says what is wrong with a state file of something else, and leaves it alone', async () => {
  const state = join(directory, 'other.json');
  for (const [text, words] of [
    ['{}', /is not what `mailgress listen` keeps/],
    ['no JSON', /is not what/],
    [
      JSON.stringify({ service: 'http://x', forward: '', secret: '', cursor: null }),
      /in the log of http:\/\/x/,
    ],
  ] as const) {
    await writeFile(state, text);
    await using command = listen('http://127.0.0.1:9/', '--state', state);
    const ended = await command.ended;
    assert.match(ended.stderr, words);
    assert.equal(ended.code, 78);
    assert.equal(await readFile(state, 'utf8'), text);
  }
});
