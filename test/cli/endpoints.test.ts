import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startCommands } from '../support/commands.ts';
import { type Consumer, startConsumer } from '../support/consumer.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  startTestService,
  type TestService,
} from '../support/service.ts';

let service: TestService;
let consumer: Consumer;
let directory: string;
const commands = startCommands();
before(async () => {
  service = await startTestService();
  consumer = await startConsumer();
  directory = await mkdtemp(join(tmpdir(), 'mailgress-cli-'));
});
after(async () => {
  await commands[Symbol.asyncDispose]();
  await service.dispose();
  await consumer.close();
  await rm(directory, { recursive: true });
});

const run = (...args: string[]) =>
  commands.run(['endpoint', ...args], {
    MAILGRESS_PUBLIC_URL: service.address,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
  });

async function runJson(...args: string[]) {
  const { code, stdout, stderr } = await run(...args, '--json');
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

test('makes an endpoint with every setting, and changes what it is told to alone', async () => {
  const made = await runJson(
    ...['add', consumer.url, '--rules', '{"placement": ["inbox"]}', '--order', 'mailbox', '--rate', '50'],
    ...['--max-in-flight', '3', '--header', 'X-Api-Key: s3cret: word', '--header', 'X-Team: mail'],
  );
  assert.deepEqual(
    [made.rules, made.order, made.ratePerSecond, made.maxInFlight, made.headerNames],
    [{ placement: ['inbox'] }, 'mailbox', 50, 3, ['X-Api-Key', 'X-Team']],
  );
  assert.ok(!JSON.stringify(made).includes('s3cret'));

  const file = join(directory, 'rules.json');
  await writeFile(file, '{"hasAttachment": true}');
  const { secret: _, ...before } = made;
  assert.deepEqual(
    await runJson('update', made.id, '--rules', `@${file}`, '--order', 'none', '--rate', 'none'),
    {
      ...before,
      rules: { hasAttachment: true },
      order: null,
      ratePerSecond: null,
    },
  );
  const disabled = await run('update', made.id, '--to', `${consumer.url}/new`, '--disable');
  assert.match(
    disabled.stdout,
    new RegExp(`^${made.id} {2}${consumer.url}/new {2}disabled: disabled by request`),
  );
});

test('replays what was before the endpoint, and waits for the end', async () => {
  const source = await addSource(service, 'apps-script', 'replay@example.com');
  await service.push(source, batch([gmailItem('7b1', mailOf('One')), gmailItem('7b2', mailOf('Two'))]));
  const { id } = await runJson('add', consumer.url);
  const args = ['replay', id, '--since', '2020-01-01T00:00:00Z', '--mailbox', 'replay@example.com', '--wait'];
  const { code, stdout, stderr } = await run(...args);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^rpl_[0-9a-f]{32} {2}completed {2}2 of 2 sent\n$/);
});

test('replays from a date or a time with an offset, as from the same in UTC', async () => {
  const { id } = await runJson('add', consumer.url);
  const times = ['--since', '2020-01-01', '--until', '2020-01-02T00:00:00+01:00'];
  const { since, until } = await runJson('replay', id, ...times);
  assert.deepEqual([since, until], ['2020-01-01T00:00:00.000Z', '2020-01-01T23:00:00.000Z']);
});

describe('is told in one line, with the right exit code', () => {
  const url = 'http://127.0.0.1:1/';
  for (const [what, args, code, words] of [
    ['rules that are no JSON', ['add', url, '--rules', 'inbox'], 64, /--rules: must be JSON/],
    ['a file of rules that is not there', ['add', url, '--rules', '@/nowhere'], 66, /Cannot read \/nowhere/],
    ['rules that can be none', ['add', url, '--rules', '{"sender": ["*"]}'], 65, /rules/],
    ['a header without a name', ['add', url, '--header', 's3cret'], 64, /^(?!.*s3cret).*--header/],
    ['a header that is ours', ['add', url, '--header', 'webhook-id: 1'], 65, /"webhook-id" is set by us/],
    ['a rate that is no number', ['add', url, '--rate', 'fast'], 64, /--rate fast/],
    ['nothing to change', ['update', `ep_${'0'.repeat(32)}`], 64, /Nothing to change/],
    ['both at once', ['update', `ep_${'0'.repeat(32)}`, '--enable', '--disable'], 64, /Either/],
    ['an unknown endpoint', ['update', `ep_${'0'.repeat(32)}`, '--enable'], 65, /There is no endpoint/],
    [
      'a replay since no time',
      ['replay', `ep_${'0'.repeat(32)}`, '--since', 'yesterday'],
      64,
      /--since yesterday: must be a time such as 2026-11-01T00:00:00Z, or a date/,
    ],
    ['a replay of no time', ['replay', `ep_${'0'.repeat(32)}`], 64, /--since/],
  ] as const) {
    test(what, async () => {
      const { code: ended, told } = await run(...args);
      assert.equal(ended, code, told.join('\n'));
      assert.match(told[0] ?? '', words);
    });
  }
});
