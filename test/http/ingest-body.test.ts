import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { captureLog } from './captured-log.ts';
import { expectProblem, faultPaths } from './problem.ts';

const { log, lines } = captureLog();
let service: TestService;
let source: PushSource;
let rawSource: PushSource;
before(async () => {
  service = await startTestService({ log });
  source = await addSource(service);
  rawSource = await addSource(service, 'raw');
});
after(() => service.dispose());

async function expectAlive(): Promise<void> {
  assert.equal((await fetch(`${service.address}/healthz`)).status, 200);
  assert.deepEqual(
    lines.filter(({ level, status }) => level >= 40 || Number(status) >= 500),
    [],
  );
}

test('no bytes are no JSON, and no mail', async () => {
  await expectProblem(await service.push(source, ''), 400, 'invalid_json');
  await expectProblem(await service.push(rawSource, ''), 400, 'bad_request');
});

describe('refuses as no JSON', () => {
  const bodies: Record<string, string | Uint8Array> = {
    blanks: ' \r\n\t',
    'a word': 'hello',
    'a JSON text cut short': '{"kind":"ping"',
    'two JSON texts': '{"kind":"ping"}{"kind":"ping"}',
    'a form': 'kind=ping',
    'bytes that are no UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    'a character cut in half': Buffer.concat([Buffer.from('{"kind":"'), Buffer.of(0xe2, 0x82)]),
    'UTF-16': Buffer.from('{"kind":"ping"}', 'utf16le'),
    'a surrogate in bytes (CESU-8)': Buffer.concat([
      Buffer.from('{"kind":"'),
      Buffer.of(0xed, 0xa0, 0x80),
      Buffer.from('"}'),
    ]),
    '10,000 brackets that are not closed': '['.repeat(10_000),
    NaN: '{"kind":"messages","messages":[NaN]}',
  };
  for (const [name, body] of Object.entries(bodies)) {
    test(name, async () => {
      const problem = await expectProblem(await service.push(source, body), 400, 'invalid_json');
      assert.ok(!JSON.stringify(problem).includes('ping'), 'the answer quotes nothing of the body');
    });
  }
});

test('takes a body with a byte order mark', async () => {
  const response = await service.push(source, '\ufeff{"kind":"ping"}');
  assert.deepEqual([response.status, await response.json()], [200, { results: [] }]);
});

describe('nested 10,000 deep', () => {
  const deepArray = '['.repeat(10_000) + ']'.repeat(10_000);
  const deepObject = `${'{"a":'.repeat(10_000)}0${'}'.repeat(10_000)}`;
  const mail = JSON.stringify(gmailItem('dee9', mailOf('Beside what is deep')));

  for (const deep of [deepArray, deepObject]) {
    const kind = deep === deepArray ? 'arrays' : 'objects';

    test(`${kind} as the body are refused`, async () => {
      await expectProblem(await service.push(source, deep), 400, 'bad_request');
    });

    test(`${kind} as a field are refused with their path`, async () => {
      const body = `{"kind":"messages","messages":[${mail}],"gap":${deep}}`;
      const problem = await expectProblem(await service.push(source, body), 400, 'bad_request');
      assert.match(faultPaths(problem).join(), /^gap/);
    });

    test(`${kind} as a mail are rejected alone`, async () => {
      const response = await service.push(source, `{"kind":"messages","messages":[${deep},${mail},${deep}]}`);
      assert.equal(response.status, 200);
      const { results } = (await response.json()) as { results: { id: string | null; status: string }[] };
      assert.deepEqual([results[0]?.status, results[2]?.status], ['rejected', 'rejected']);
      assert.match(results[1]?.status ?? '', /^(accepted|duplicate)$/);
    });

    test(`${kind} in unknown fields are passed over`, async () => {
      const item = `${mail.slice(0, -1)},"extra":${deep}}`;
      const body = `{"kind":"messages","messages":[${item}],"extra":${deep}}`;
      const response = await service.push(source, body);
      const { results } = (await response.json()) as { results: { status: string }[] };
      assert.match(results[0]?.status ?? '', /^(accepted|duplicate)$/);
    });
  }
  test('and the process is well', expectAlive);
});

describe('refuses another shape, saying where', () => {
  const item = gmailItem('5a9e', mailOf('Shape'));
  const cases: [name: string, body: unknown, paths: string[]][] = [
    ['null', null, ['']],
    ['a number', 1, ['']],
    ['a list', [item], ['']],
    ['an empty object', {}, ['subject', 'sender', 'body', 'date']],
    ['an unknown kind', { kind: 'letters', messages: [] }, ['kind']],
    ['a kind that is no string', { kind: ['ping'] }, ['kind']],
    ['no messages', { kind: 'messages' }, ['messages']],
    ['messages that are no list', { kind: 'messages', messages: { 0: item } }, ['messages']],
    ['a script without version', { kind: 'ping', script: { account: 'a' } }, ['script.version']],
    ['a script that is a string', { kind: 'ping', script: '1.0.0' }, ['script']],
    ['a numeric cursor', { kind: 'messages', messages: [], cursor: { from: 1, to: '2' } }, ['cursor.from']],
    ['a cursor without end', { kind: 'messages', messages: [], cursor: { from: '1' } }, ['cursor.to']],
    ['a negative cursor', { kind: 'messages', messages: [], cursor: { from: '1', to: '-2' } }, ['cursor.to']],
    ['a bad missing id', { kind: 'messages', messages: [], missing: ['a', 'b c'] }, ['missing.1']],
    ['missing as a string', { kind: 'messages', messages: [], missing: 'a' }, ['missing']],
    ['failed without error', { kind: 'messages', messages: [], failed: [{ id: 'a' }] }, ['failed.0.error']],
    ['a gap without reason', { kind: 'messages', messages: [], gap: { from: '1' } }, ['gap.reason']],
    ['a backlog of half a mail', { kind: 'messages', messages: [], backlog: 0.5 }, ['backlog']],
    ['a pause that is no boolean', { kind: 'messages', messages: [], paused: 'no' }, ['paused']],
    ['several faults', { kind: 'messages', messages: 1, gap: 1, paused: 1 }, ['messages', 'gap', 'paused']],
    [
      'a plain mail of numbers',
      { subject: 1, sender: 2, body: 3, date: 4 },
      ['subject', 'sender', 'body', 'date'],
    ],
    ['a plain mail without date', { subject: 's', sender: 'a@example.com', body: 'b' }, ['date']],
  ];
  for (const [name, body, paths] of cases) {
    test(name, async () => {
      const response = await service.push(source, JSON.stringify(body));
      assert.deepEqual(faultPaths(await expectProblem(response, 400, 'bad_request')), paths);
    });
  }

  test('an unknown kind is told which there are', async () => {
    const problem = await expectProblem(await service.push(source, '{"kind":"letters"}'), 400, 'bad_request');
    assert.deepEqual(problem.errors, [{ path: 'kind', message: 'must be "messages" or "ping"' }]);
  });

  test('and stores nothing of a batch with a bad frame', async () => {
    const body = batch([gmailItem('bad0f4a3e', mailOf('In a bad frame'))], {
      cursor: { from: 'x', to: 'y' },
    });
    await expectProblem(await service.push(source, body), 400, 'bad_request');
    const again = await service.push(source, batch([gmailItem('bad0f4a3e', mailOf('In a bad frame'))]));
    const { results } = (await again.json()) as { results: { status: string }[] };
    assert.equal(results[0]?.status, 'accepted');
  });
});
