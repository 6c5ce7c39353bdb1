import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { addConsumer } from '../support/deliveries.ts';
import { waitUntil } from '../support/embedded-place.ts';
import {
  addSource,
  batch,
  gmailItem,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';

let service: TestService;
let source: PushSource;
before(async () => {
  service = await startTestService();
  source = await addSource(service);
});
after(() => service.dispose());

const WITH_PDF = ['Content-Type: application/pdf; name=a.pdf', 'Content-Disposition: attachment', '', 'PDF'];
const WITH_NOTHING = ['Content-Type: text/plain', '', 'Only text'];

let mails = 0;
/** A mail as it comes whole, and as it comes by its headers alone. */
function makeMail(subject: string, part: readonly string[] = WITH_PDF) {
  const id = `e${(++mails).toString(16)}`;
  const headers = [
    'From: Ada <ada@example.com>',
    `Subject: ${subject}`,
    `Message-ID: <${id}@example.com>`,
    'Content-Type: multipart/mixed; boundary=x',
    '',
  ].join('\r\n');
  const parts = ['', '--x', 'Content-Type: text/plain', '', 'Hello', '--x', ...part, '--x--', ''];
  return {
    whole: gmailItem(id, headers + parts.join('\r\n')),
    truncated: {
      id,
      threadId: id,
      labelIds: ['INBOX'],
      internalDate: '1760000000000',
      truncated: true,
      headers,
    },
  };
}

async function push(item: unknown): Promise<void> {
  assert.equal((await service.push(source, batch([item]))).status, 200);
}

const told = (received: { body: string }[]) =>
  received.map(({ body }) => [JSON.parse(body).data.subject, JSON.parse(body).data.truncated]);

async function waitForSkipped(endpointId: string, count: number): Promise<string[]> {
  let rules: string[] = [];
  await waitUntil(`${count} are skipped`, async () => {
    const { body } = await service.api('GET', `/v1/deliveries?endpoint=${endpointId}&status=skipped`);
    rules = body.data.map(({ rule }: { rule: string }) => rule);
    return rules.length === count;
  });
  return rules;
}

describe('a mail that comes by its headers alone', () => {
  for (const [what, rules] of [
    ['an attachment', { hasAttachment: true }],
    ['a category that stands in the body', { category: ['bounce', 'calendar'] }],
  ] as const)
    test(`is sent where ${what} is asked for, and once, also when the whole comes then`, async () => {
      await using consumer = await addConsumer(service, undefined, { rules });
      const mail = makeMail('Perhaps');
      await push(mail.truncated);
      await consumer.waitFor(1);
      await push(mail.whole);
      await push(makeMail('Ends it', WITH_NOTHING).whole);
      await waitForSkipped(consumer.id, 1);
      assert.deepEqual(told(consumer.received), [['Perhaps', true]]);
    });

  test('is left out, or sent, by what it holds where the whole was there first', async () => {
    await using consumer = await addConsumer(service, undefined, { rules: { hasAttachment: true } });
    for (const mail of [makeMail('With'), makeMail('Without', WITH_NOTHING)]) {
      await push(mail.whole);
      await push(mail.truncated);
    }
    assert.deepEqual(await waitForSkipped(consumer.id, 1), ['hasAttachment']);
    await consumer.waitFor(1);
    assert.deepEqual(told(consumer.received), [['With', false]]);
  });

  test('is judged by the whole that came while it was held', async () => {
    const away = { vacation: { from: '2020-01-01T00:00:00Z', to: '2120-01-01T00:00:00Z' } };
    const rules = { hasAttachment: true };
    await using consumer = await addConsumer(service, undefined, { rules: { ...rules, ...away } });
    const [one, other] = [makeMail('With'), makeMail('Without', WITH_NOTHING)];
    await push(one.truncated);
    await push(other.truncated);
    await waitUntil('both are held', async () => {
      const { body } = await service.api('GET', `/v1/deliveries?endpoint=${consumer.id}`);
      const held = body.data.filter(({ rule }: { rule: string }) => rule === 'vacation');
      return held.length === 2;
    });
    await push(one.whole);
    await push(other.whole);
    await service.api('PATCH', `/v1/endpoints/${consumer.id}`, { rules });
    assert.deepEqual(await waitForSkipped(consumer.id, 1), ['hasAttachment']);
    await consumer.waitFor(1);
    assert.deepEqual(told(consumer.received), [['With', false]]);
  });

  test('takes the place of no other of its subject group, if it may be none that is wanted', async () => {
    const rules = { hasAttachment: true, subjectGroup: { windowMs: 3_600_000 } };
    await using consumer = await addConsumer(service, undefined, { rules });
    await push(makeMail('Report', WITH_NOTHING).truncated);
    await consumer.waitFor(1);
    await push(makeMail('Re: Report').whole);
    await consumer.waitFor(2);
    await push(makeMail('Re: Report').whole);
    assert.deepEqual(await waitForSkipped(consumer.id, 1), ['subjectGroup']);
    assert.deepEqual(told(consumer.received), [
      ['Report', true],
      ['Re: Report', false],
    ]);
  });
});
