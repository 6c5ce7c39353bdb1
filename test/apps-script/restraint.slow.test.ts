import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { GmailError } from './gmail-service.ts';
import { createInstallation, type Installation } from './installation.ts';
import type { Post, ServerAnswer } from './runtime.ts';
import { startWorld, type World } from './world.ts';

const ACCOUNTS = Array.from({ length: 60 }, (_, i) => `restraint-${i}@example.com`);
const MINUTE = 60_000;
let world: World;
let next = 0;
before(async () => {
  world = await startWorld(ACCOUNTS);
});
after(() => world[Symbol.asyncDispose]());

/** A mailbox with the script in it, which has looked once. */
function installed(options = {}): Installation {
  const box = createInstallation(world, ACCOUNTS[next++] ?? '', options);
  box.pass(1.1);
  return box;
}

/** Lets something answer in place of the server while `during` runs; answers the posts of that time. */
function meanwhile(
  box: Installation,
  answer: (post: Post) => ServerAnswer | undefined,
  during: () => void,
): Post[] {
  const from = box.runtime.posts.length;
  box.runtime.serverFaults.push(answer);
  during();
  box.runtime.serverFaults.pop();
  return box.runtime.posts.slice(from);
}

/** Between which of the posts how many minutes lie. */
const gapsOf = (posts: Post[]) =>
  posts.slice(1).map(({ at }, i) => Math.round((at - (posts[i]?.at ?? 0)) / MINUTE));

test('a server that is away is asked after 1, 2, 4, 8 and then every 15 minutes, with a heartbeat', () => {
  const box = installed();
  box.deliver('waits');
  const posts = meanwhile(
    box,
    () => ({ status: 503 }),
    () => box.pass(62),
  );
  assert.deepEqual(gapsOf(posts), [1, 2, 4, 8, 15, 15, 15]);
  const [first, ...others] = posts.map(({ body }) => body.messages.length);
  assert.equal(first, 1);
  assert.ok(
    others.every((count) => count === 0),
    'no mail is read in vain',
  );
  box.pass(16);
  box.expectAllStored();
  assert.equal(box.runtime.state.failures, 0);
});

test('Retry-After is waited for, in seconds, as a date, and under a name in any case', () => {
  for (const { status, name, value, minutes } of [
    { status: 429, name: 'Retry-After', value: () => '1200', minutes: 20 },
    {
      status: 503,
      name: 'retry-after',
      value: () => new Date(world.clock.now + 22 * MINUTE).toUTCString(),
      minutes: 22,
    },
    { status: 429, name: 'retry-after', value: () => 'soon', minutes: 1 },
  ]) {
    const box = installed();
    box.deliver('waits');
    let isFirst = true;
    const answer = () => {
      if (!isFirst) return undefined;
      isFirst = false;
      return { status, headers: { [name]: value() } };
    };
    const posts = meanwhile(box, answer, () => box.pass(30));
    assert.ok([minutes, minutes + 1].includes(gapsOf(posts)[0] ?? 0), `${gapsOf(posts)} for ${minutes}`);
    box.expectAllStored();
  }
});

test('stopped on the server, it keeps its place and looks every 15 minutes', () => {
  const box = installed();
  const { cursor } = box.runtime.state;
  box.api('POST', `/v1/sources/${box.source.id}/stop`);
  box.deliver('waits');
  const from = box.runtime.posts.length;
  box.pass(62);
  const posts = box.runtime.posts.slice(from);
  assert.deepEqual(
    posts.map(({ status }) => status),
    [409, 409, 409, 409, 409],
  );
  assert.deepEqual(gapsOf(posts), [15, 15, 15, 15]);
  assert.equal(box.runtime.state.cursor, cursor);
  assert.equal(box.runtime.executions.filter(({ error }) => error !== null).length, 0);
  box.api('POST', `/v1/sources/${box.source.id}/start`);
  box.pass(16);
  box.expectAllStored();
});

test('a refused signature stops the posts; once a day the owner is told by a run that fails', () => {
  const box = installed();
  box.deliver('waits');
  box.runtime.properties.set('mailgress.secret', `whsec_${'B'.repeat(43)}=`);
  const from = box.runtime.posts.length;
  box.pass(3 * 24 * 60);
  const posts = box.runtime.posts.slice(from);
  assert.deepEqual(
    posts.map(({ status }) => status),
    [401, 401, 401],
  );
  const failed = box.runtime.executions.filter(({ error }) => error !== null);
  assert.equal(failed.length, 3);
  assert.match(failed[0]?.error ?? '', /^The server answers 401: .*rotateSecret/);
  box.runtime.properties.set('mailgress.secret', box.source.secret);
  box.runtime.run('resume');
  box.pass(2);
  box.expectAllStored();
});

test('an answer that does not name each mail moves nothing', () => {
  for (const answer of [
    { status: 200, body: '<html>Sign in to the WiFi</html>' },
    { status: 200, body: '{"results": []}' },
    { status: 200, body: '{}' },
    { status: 302, headers: { location: 'https://elsewhere.example' } },
  ]) {
    const box = installed();
    const { cursor } = box.runtime.state;
    box.deliver('one');
    box.deliver('two');
    meanwhile(
      box,
      ({ body }) => (body.messages.length > 0 ? answer : undefined),
      () => box.pass(5),
    );
    assert.equal(box.runtime.state.cursor, cursor);
    box.pass(16);
    box.expectAllStored();
  }
});

test('a proxy that takes less than the server makes batches small, and a single mail too large for it headers', () => {
  const box = installed();
  for (const size of [10, 200, 300, 900, 400, 20])
    box.deliver(`of ${size}`, { body: 'x'.repeat(size * 1000) });
  const posts = meanwhile(
    box,
    ({ bytes }) => (bytes > 1_000_000 ? { status: 413, body: 'too large' } : undefined),
    () => box.pass(6),
  );
  box.expectAllStored();
  const sent = posts.filter(({ status }) => status === 200).flatMap(({ body }) => body.messages);
  assert.deepEqual(
    sent.filter((mail) => mail.truncated).map(({ id }) => id),
    [box.delivered[3]?.id],
  );
  assert.deepEqual(box.runtime.state.tries, {});
});

test('a mail that the server cannot take is found, reported and passed over', () => {
  for (const status of [400, 500]) {
    const box = installed();
    for (let i = 0; i < 8; i++) box.deliver(`good ${i}`);
    const bad = box.deliver('bad', { isWanted: false });
    for (let i = 8; i < 12; i++) box.deliver(`good ${i}`);
    const isBad = ({ body }: Post) => body.messages.some(({ id }: { id: string }) => id === bad);
    meanwhile(
      box,
      (post) => (isBad(post) ? { status } : undefined),
      () => box.pass(180),
    );
    box.expectAllStored();
    box.expectCursorBehindServer();
    const [stub] = world.sql(`SELECT * FROM stubs WHERE source_id = '${box.source.id.slice(4)}'`);
    assert.deepEqual([stub.provider_id, stub.status, stub.attempts], [bad, 'failed', 5]);
    assert.deepEqual(box.runtime.state.tries, {});
  }
});

const RATE: GmailError = {
  code: 429,
  message: 'Too many concurrent requests for user',
  reason: 'rateLimitExceeded',
};

test('a mail that Gmail cannot give is tried five times, then reported and passed over', () => {
  const box = installed();
  box.deliver('before');
  const bad = box.deliver('bad', { isWanted: false });
  box.deliver('after');
  box.runtime.faults.push((path) =>
    path.startsWith(`messages/${bad}`) ? { code: 500, message: 'Backend Error' } : undefined,
  );
  box.pass(1);
  assert.deepEqual(box.stored(), [box.delivered[0]?.id], 'what is before it goes at once');
  box.pass(40);
  box.expectAllStored();
  const [stub] = world.sql(`SELECT * FROM stubs WHERE source_id = '${box.source.id.slice(4)}'`);
  assert.deepEqual([stub.provider_id, stub.status, stub.attempts], [bad, 'failed', 5]);
  assert.match(stub.error, /Backend Error/);
  assert.equal(box.api('GET', `/v1/sources/${box.source.id}`).counts.failed, 1);
});

test('a mail too large for Apps Script itself goes as headers in the end', () => {
  const box = installed();
  const large = box.deliver('of 40 MB');
  box.runtime.faults.push((path) => {
    if (path === `messages/${large}?format=raw`) return { code: 500, message: 'Empty response' };
    return undefined;
  });
  box.deliver('another');
  box.pass(30);
  box.expectAllStored();
  const { data } = box.api('GET', `/v1/messages?mailbox=${box.source.mailboxId}`);
  const truncated = data.filter((one: { truncated: boolean }) => one.truncated);
  assert.deepEqual(
    truncated.map(({ subject }: { subject: string }) => subject),
    ['of 40 MB'],
  );
});

test('a Gmail that is out of order makes no mail fail', () => {
  const box = installed();
  box.deliver('one');
  box.deliver('two');
  box.runtime.faults.push((path) =>
    path.startsWith('history?startHistoryId=1&') || path.startsWith('messages/')
      ? { code: 500, message: 'Backend Error' }
      : undefined,
  );
  box.pass(600);
  assert.deepEqual(box.runtime.state.tries, {});
  box.runtime.faults.length = 0;
  box.pass(16);
  box.expectAllStored();
});

test('Gmail is left alone when it asks for that, for as long as it says', () => {
  const until = new Date(world.clock.now + 25 * MINUTE);
  const box = installed();
  box.deliver('waits');
  box.runtime.faults.push((path) => {
    if (!path.startsWith('messages/') || world.clock.now >= until.getTime()) return undefined;
    return { code: 403, message: `User-rate limit exceeded.  Retry after ${until.toISOString()}` };
  });
  const from = box.runtime.calls.length;
  box.pass(20);
  const reads = () =>
    box.runtime.calls.slice(from).filter(({ name }) => name === 'Gmail.Messages.get').length;
  assert.equal(reads(), 1);
  assert.deepEqual(box.runtime.state.tries, {});
  box.pass(8);
  box.expectAllStored();

  const other = installed();
  other.deliver('waits');
  other.runtime.faults.push((path) => (path.startsWith('messages/') ? RATE : undefined));
  other.pass(9);
  assert.equal(other.runtime.state.failures, 4, 'without a time: after 1, 2 and 4 minutes');
  other.runtime.faults.length = 0;
  other.pass(8);
  other.expectAllStored();
});

test("Google's daily quotas are waited for a day, at the same place", () => {
  for (const quota of [{ urlFetches: 3 }, { gmailReads: 10 }] as const) {
    const box = installed();
    Object.assign(box.runtime.settings.quota, quota);
    for (let i = 0; i < 12; i++) {
      box.deliver(`one ${i}`);
      box.pass(1);
      box.expectCursorBehindServer();
    }
    assert.match(box.runtime.state.lastError, /for one day/);
    const calls = box.runtime.calls.length;
    box.pass(22 * 60);
    const names = new Set(box.runtime.calls.slice(calls).map(({ name }) => name));
    assert.deepEqual([...names].sort(), ['Lock.releaseLock', 'Lock.tryLock', 'Properties.getProperty']);
    Object.assign(box.runtime.settings.quota, { urlFetches: 20_000, gmailReads: 20_000 });
    box.pass(3 * 60);
    box.expectAllStored();
  }
});

test('a day whose quota of properties runs out, anywhere in a run, loses nothing and doubles nothing', () => {
  for (let more = 0; more < 12; more++) {
    const box = installed();
    for (let i = 0; i < 3; i++) box.deliver(`one ${i}`);
    const from = box.runtime.calls.length;
    const used = box.runtime.calls.filter(({ name }) => name.startsWith('Properties.')).length;
    box.runtime.settings.quota.propertyCalls = used + more;
    box.pass(10);
    box.expectCursorBehindServer();
    const reads = box.runtime.calls.slice(from).filter(({ name }) => name === 'Gmail.Messages.get').length;
    assert.ok(reads <= 9, `${reads} reads`);
    assert.ok(box.runtime.executions.some(({ error }) => error?.includes('for one day')));
    box.runtime.settings.quota.propertyCalls = 50_000;
    box.pass(17);
    box.expectAllStored();
    box.expectCursorBehindServer();
  }
});

test('it slows down before a day of runs is used up, says so, and comes back', () => {
  const box = installed();
  // A slow day at Google: each run takes 5 s.
  box.runtime.settings.latency = ({ name }) => (name.startsWith('Gmail.') ? 4500 : 40);
  box.pass(20 * 60);
  assert.equal(box.runtime.triggers.length, 1);
  assert.equal(box.runtime.triggers[0]?.minutes, 5);
  assert.ok(box.runtime.log.some((line) => /warn 7\d min of runtime in 24 h/.test(line)));
  box.deliver('still');
  box.pass(6);
  box.expectAllStored();
  box.runtime.settings.latency = () => 40;
  box.pass(24 * 60);
  assert.equal(box.runtime.triggers[0]?.minutes, 1);
  const refused = box.runtime.executions.filter(({ error }) => error?.includes('computer time'));
  assert.deepEqual(refused, [], "Google's limit was not reached");
});

test('turns in which it does nothing but wait are part of the runtime that it counts', (t) => {
  const box = installed();
  // Stopped on the server: of fifteen turns fourteen only see that it is not yet time.
  box.api('POST', `/v1/sources/${box.source.id}/stop`);
  const from = box.runtime.executions.length;
  box.pass(12 * 60);
  const spentMs = box.runtime.executions.slice(from).reduce((sum, { ms }) => sum + ms + 500, 0);
  const counted: Record<string, number> = box.runtime.state.runtime;
  const countedMs = Object.values(counted).reduce((sum, ms) => sum + ms, 0);
  t.diagnostic(`${countedMs} ms counted of ${spentMs}`);
  assert.ok(countedMs > spentMs * 0.9 && countedMs < spentMs * 1.1, `${countedMs} of ${spentMs}`);
});

test('a large backlog leaves room for the runs and heartbeats of a day', (t) => {
  const box = installed();
  for (let i = 0; i < 500; i++) box.deliver(`slow ${i}`);
  box.runtime.settings.latency = ({ name }) => (name === 'Gmail.Messages.get' ? 12_000 : 60);
  let most = 0;
  for (let hour = 0; hour < 26; hour++) {
    box.pass(60);
    const since = world.clock.now - 24 * 60 * MINUTE;
    const ofDay = box.runtime.executions.filter((one) => one.isTriggered && one.startedAt > since);
    most = Math.max(most, ofDay.reduce((sum, { ms }) => sum + ms, 0) / MINUTE);
  }
  const gaps = gapsOf(box.runtime.posts.filter(({ status }) => status === 200));
  t.diagnostic(`${most.toFixed(1)} min of runtime a day, ${box.stored().length} stored in 26 h`);
  const refused = box.runtime.executions.filter(({ error }) => error?.includes('computer time'));
  assert.deepEqual(refused, [], "Google's limit was not reached");
  assert.ok(most < 90, `${most}`);
  assert.ok(Math.max(...gaps) <= 21, `a heartbeat came ${Math.max(...gaps)} min after another`);
});

test('a run that Google ends after six minutes is counted, and its mail goes in smaller steps', () => {
  const box = installed();
  for (let i = 0; i < 120; i++) box.deliver(`slow ${i}`);
  box.runtime.settings.latency = ({ name }) => (name === 'Gmail.Messages.get' ? 4000 : 40);
  box.pass(30);
  box.expectAllStored();
  const longest = Math.max(...box.runtime.executions.map(({ ms }) => ms));
  assert.ok(longest < 6 * MINUTE, `${longest} ms`);
});

test('a mail that ends every run that reads it goes as headers, or is passed over', () => {
  for (const isWanted of [true, false]) endless(isWanted);
});

function endless(isWanted: boolean): void {
  const box = installed();
  box.deliver('before');
  const bad = box.deliver('too large for a script', { isWanted });
  box.deliver('after');
  box.runtime.faults.push((path) => {
    // Memory is used up, say: nothing to catch, the execution is over.
    if (path.startsWith(`messages/${bad}?format=${isWanted ? 'raw' : ''}`)) world.clock.now += 7 * MINUTE;
    return undefined;
  });
  box.pass(90);
  box.expectAllStored();
  const stubs = world.sql(`SELECT * FROM stubs WHERE source_id = '${box.source.id.slice(4)}'`);
  assert.deepEqual(
    stubs.map(({ provider_id, status }) => [provider_id, status]),
    isWanted ? [] : [[bad, 'failed']],
  );
  assert.equal(box.runtime.state.deaths, 0);
}

test('a heartbeat comes with every post, and every 15 minutes without', () => {
  const box = installed();
  const from = box.runtime.posts.length;
  box.pass(60);
  const posts = box.runtime.posts.slice(from);
  assert.equal(posts.length, 4);
  assert.deepEqual(gapsOf(posts), [15, 15, 15]);
  world.flush();
  const { script, lastProvenAliveAt } = box.api('GET', `/v1/sources/${box.source.id}`);
  assert.deepEqual(script, {
    account: box.runtime.settings.account,
    version: '1.0.0',
    backlog: 0,
    paused: false,
  });
  assert.ok(Date.parse(lastProvenAliveAt) > world.clock.now - 15 * MINUTE);
});

test('a heartbeat says that the mailbox was read: when it cannot be, there is none', () => {
  const box = installed();
  box.runtime.faults.push(() => ({ code: 403, message: 'Request had insufficient authentication scopes.' }));
  const from = box.runtime.posts.length;
  box.pass(120);
  assert.deepEqual(box.runtime.posts.slice(from), []);
  assert.match(box.runtime.state.lastError, /insufficient/);
  box.runtime.faults.length = 0;
  box.pass(16);
  assert.ok(box.runtime.posts.length > from);
});
