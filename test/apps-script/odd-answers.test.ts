import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createInstallation, type Installation } from './installation.ts';
import type { Post, ServerAnswer } from './runtime.ts';
import { startWorld, type World } from './world.ts';

/*
 * What stands between the script and the server may answer anything. Nothing of it may move the cursor, end a run by an
 * exception of its own, or put a healthy mail to blame.
 */

const ACCOUNTS = Array.from({ length: 40 }, (_, i) => `odd-${i}@example.com`);
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

const stubsOf = (box: Installation) =>
  world.sql(`SELECT provider_id, status FROM stubs WHERE source_id = '${box.source.id.slice(4)}'`);
const truncatedOf = (box: Installation) =>
  world.sql(`SELECT id FROM messages
    WHERE mailbox_id = '${box.source.mailboxId.slice(4)}' AND (document ->> 'truncated')::boolean`);
const idsOf = ({ body }: Post): string[] => (body.messages ?? []).map(({ id }: { id: string }) => id);
const results = (list: unknown[]): ServerAnswer => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ results: list }),
});

const answers: [string, (post: Post) => ServerAnswer][] = [
  [
    'a result for all but the last',
    (post) =>
      results(
        idsOf(post)
          .slice(0, -1)
          .map((id) => ({ id })),
      ),
  ],
  ['results of other mails', (post) => results(idsOf(post).map((id) => ({ id: `${id}0` })))],
  ['results that are no objects', (post) => results(idsOf(post).map(() => null))],
  ['results without an id', (post) => results(idsOf(post).map(() => ({ status: 'accepted' })))],
  ['results as an object', () => ({ status: 200, body: '{"results": {"length": 9}}' })],
  ['JSON that is cut off', (post) => ({ status: 200, body: `{"results": [{"id": "${idsOf(post)[0]}"` })],
  ['JSON that is null', () => ({ status: 200, body: 'null' })],
  ['nothing', () => ({ status: 200, body: '' })],
  ['204', () => ({ status: 204 })],
  ['a page to sign in', () => ({ status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' })],
  ['301', () => ({ status: 301, headers: { location: 'https://elsewhere.example/' } })],
  ['307', () => ({ status: 307, headers: { location: 'https://elsewhere.example/' } })],
  ['a problem that is no text', () => ({ status: 502, body: '{"detail": {"a": 1}, "code": 7}' })],
];
for (const [name, answer] of answers) {
  test(`answered with ${name}, every mail is sent again`, () => {
    const box = installed();
    const { cursor } = box.runtime.state;
    for (let i = 0; i < 5; i++) box.deliver(`mail ${i}`);
    box.runtime.serverFaults.push((post) => (idsOf(post).length > 0 ? answer(post) : undefined));
    box.pass(45);
    assert.equal(box.runtime.state.cursor, cursor);
    assert.deepEqual(stubsOf(box), []);
    const failed = box.runtime.executions.filter(({ error }) => error !== null);
    assert.deepEqual(failed, []);
    assert.match(box.runtime.state.lastError, /^The server/, 'the owner is told who it was');
    box.runtime.serverFaults.length = 0;
    box.pass(45);
    box.expectAllStored();
    box.expectCursorBehindServer();
    assert.deepEqual([stubsOf(box), truncatedOf(box)], [[], []]);
  });

  test(`answered with ${name} to everything, it goes on where it was`, () => {
    const box = installed();
    const { cursor } = box.runtime.state;
    box.runtime.serverFaults.push(answer);
    box.deliver('one');
    box.pass(90);
    assert.equal(box.runtime.state.cursor, cursor);
    box.runtime.serverFaults.length = 0;
    box.deliver('two');
    box.pass(45);
    box.expectAllStored();
    box.expectCursorBehindServer();
  });
}

test('something that is not found on the way to Gmail is no missing mail, and no expired history', () => {
  for (const what of ['messages/', 'history?']) {
    const box = installed();
    for (let i = 0; i < 3; i++) box.deliver(`mail ${i}`);
    box.runtime.faults.push((path) => {
      // Not of the API: without its details.
      if (path.startsWith(what)) throw new Error('Exception: host not found');
      return undefined;
    });
    box.pass(30);
    assert.equal(box.runtime.state.queue, null);
    box.runtime.faults.length = 0;
    box.pass(16);
    box.expectAllStored();
    assert.deepEqual([stubsOf(box), truncatedOf(box)], [[], []]);
    assert.deepEqual(world.sql(`SELECT * FROM gaps WHERE source_id = '${box.source.id.slice(4)}'`), []);
  }
});

test('not found is what the API says, also where the runtime leaves its details out', () => {
  for (const words of ['Requested entity was not found.', 'Not Found']) {
    const box = installed();
    const gone = box.deliver('gone', { isWanted: false });
    box.deliver('there');
    box.runtime.faults.push((path) => {
      if (!path.startsWith(`messages/${gone}`)) return undefined;
      throw new Error(`API call to gmail.users.messages.get failed with error: ${words}`);
    });
    box.pass(3);
    box.expectAllStored();
    assert.deepEqual(
      stubsOf(box).map(({ status }) => status),
      ['missing'],
    );
  }
});
