import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createId } from '../../src/core/ids.ts';
import { createLane, type LaneOptions } from '../../src/prepare/lane.ts';
import { type PrepareTask, prepareMail, prepareUnreadable } from '../../src/prepare/prepare-mail.ts';
import { toRawMail } from '../../src/sources/raw.ts';

const origin: PrepareTask['origin'] = {
  id: createId('src'),
  kind: 'raw',
  mailboxId: createId('mbx'),
  tenant: 'default',
  address: 'grace@example.org',
  authenticationServers: [],
};

function taskOf(text: string | Uint8Array): PrepareTask {
  // From the pool of Buffers, as small bodies are: a view on memory that holds others' bytes too.
  return { mail: toRawMail(Buffer.from(text)), origin, messageId: createId('msg'), takenAt: new Date() };
}

function openLane(t: TestContext, options: Partial<LaneOptions> = {}) {
  const unreadable: string[] = [];
  const lost: string[] = [];
  const lane = createLane({
    maxMails: 8,
    maxBytes: 1024 * 1024,
    maxWaitingBytes: 1024 * 1024,
    deadlineMs: 60_000,
    idleMs: 60_000,
    maxHeapMb: 256,
    report: {
      unreadable: (_, reason) => unreadable.push(reason),
      threadLost: (reason) => lost.push(reason),
    },
    ...options,
  });
  t.after(() => lane.close());
  return { lane, unreadable, lost };
}

const small = (n: number) =>
  `Subject: Mail ${n} \u00e9\r\nMessage-ID: <${n}@example.com>\r\n\r\nHello ${n}\r\n`;

test('the thread makes the rows that are made here, whole groups of them in order', async (t) => {
  const { lane } = openLane(t);
  const tasks = Array.from({ length: 50 }, (_, n) =>
    taskOf(n % 7 === 0 ? `${small(n)}${'x'.repeat(5000)}` : small(n)),
  );
  const rows = await Promise.all(tasks.map((task) => lane.prepare(task)));
  assert.deepEqual(rows, await Promise.all(tasks.map(prepareMail)));
});

test('a mail that needs too much memory is kept unread, under the key it would have; its neighbours are read', async (t) => {
  const { lane, unreadable } = openLane(t, {
    maxHeapMb: 14,
    maxBytes: Number.POSITIVE_INFINITY,
    maxWaitingBytes: Number.POSITIVE_INFINITY,
  });
  // The parser keeps an object for each line of flowed text (RFC 3676).
  const head = small(0).replace('\r\n\r\n', '\r\nContent-Type: text/plain; format=flowed\r\n\r\n');
  const huge = taskOf(`${head}${'a line of text \r\n'.repeat(600_000)}`);
  const first = lane.prepare(taskOf(small(1)));
  const [row, ...neighbours] = await Promise.all(
    [huge, taskOf(small(2)), taskOf(small(3))].map((task) => lane.prepare(task)),
  );
  assert.ok(row?.json === (await prepareUnreadable(huge)).json);
  assert.equal(JSON.parse(row?.json ?? '').document.parse, 'failed');
  assert.equal(JSON.parse(row?.json ?? '').document.subject, 'Mail 0 \u00e9');
  assert.equal(row?.dedupeKey, (await prepareMail(huge)).dedupeKey);
  for (const one of [await first, ...neighbours]) assert.equal(JSON.parse(one.json).document.parse, 'ok');
  assert.deepEqual(unreadable, ['not read in 14 MiB']);
});

test('a mail that takes too long is kept unread', async (t) => {
  // No thread starts in no time.
  const { lane, unreadable } = openLane(t, { deadlineMs: 0 });
  const row = await lane.prepare(taskOf(small(1)));
  assert.equal(JSON.parse(row.json).document.parse, 'failed');
  assert.deepEqual(unreadable, ['not read in 0 ms']);
});

test('where no thread can be had, mails are read here', async (t) => {
  const { lane, lost, unreadable } = openLane(t, {
    program: new URL('no-such-file.ts', import.meta.url),
  });
  const task = taskOf(small(1));
  assert.deepEqual(await lane.prepare(task), await prepareMail(task));
  assert.deepEqual([lost.length, unreadable.length], [1, 0]);
});

test('refuses mail when too much waits, and takes it again later', async (t) => {
  const { lane } = openLane(t, { maxMails: 1, maxWaitingBytes: 2000 });
  const settled = await Promise.allSettled(
    Array.from({ length: 10 }, (_, n) => lane.prepare(taskOf(`${small(n)}${'x'.repeat(900)}`))),
  );
  const refused = settled.filter((one) => one.status === 'rejected');
  assert.ok(refused.length >= 6 && refused.length < 10);
  assert.ok(refused.every(({ reason }) => reason.code === 'overloaded' && reason.retryable));
  await lane.prepare(taskOf(small(11)));
});

test('a thread without work ends, and the next mail starts another', async (t) => {
  const { lane } = openLane(t, { idleMs: 0 });
  for (let n = 0; n < 3; n++) {
    const task = taskOf(small(n));
    assert.deepEqual(await lane.prepare(task), await prepareMail(task));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

test('what waits at the end is told that it was not read', async (t) => {
  const { lane } = openLane(t);
  const prepared = Promise.allSettled([lane.prepare(taskOf(small(1))), lane.prepare(taskOf(small(2)))]);
  await lane.close();
  assert.deepEqual(
    (await prepared).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
});

test('a text whose row would be too long for PostgreSQL and V8 stays cut, and the message says so', async () => {
  const row = await prepareMail(
    taskOf(Buffer.concat([Buffer.from('Subject: x\r\n\r\n'), Buffer.alloc(17_000_000, 1)])),
  );
  const { document, full_text: fullText } = JSON.parse(row.json);
  assert.deepEqual([document.parse, document.textTruncated, fullText], ['partial', true, null]);
  assert.equal(document.text.length, 256 * 1024);
});
