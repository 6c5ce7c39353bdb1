import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createInstallation } from './installation.ts';
import { startWorld, type World } from './world.ts';

const ACCOUNTS = Array.from({ length: 20 }, (_, i) => `functions-${i}@example.com`);
let world: World;
let next = 0;
before(async () => {
  world = await startWorld(ACCOUNTS);
});
after(() => world[Symbol.asyncDispose]());

const created = (options = {}) => createInstallation(world, ACCOUNTS[next++] ?? '', options);
const NEW_SECRET = (secret: string) => (script: string) =>
  script.replace(/const SECRET = .*;/, `const SECRET = '${secret}';`);

test('install pings the server, keeps the secret, notes the cursor and makes one trigger, however often', () => {
  const box = created();
  const [ping] = box.runtime.posts;
  assert.deepEqual([ping?.status, ping?.body.kind], [200, 'ping']);
  assert.deepEqual(ping?.body.script, { version: '1.0.0', account: box.runtime.settings.account });
  assert.equal(box.runtime.properties.get('mailgress.secret'), box.source.secret);
  box.deliver('one');
  box.runtime.run('install');
  box.runtime.run('install');
  assert.deepEqual(
    box.runtime.triggers.map(({ handler, minutes }) => [handler, minutes]),
    [['poll', 1]],
  );
  // The place in the mailbox is kept: what came before the second install is sent.
  box.pass(1.1);
  box.expectAllStored();
  assert.match(box.runtime.log.join('\n'), /Installed: functions-\d+@example.com is read every minute/);
});

test('install starts nothing when the server does not accept the signature, and says so', () => {
  const box = created({ install: false, change: NEW_SECRET(`whsec_${'A'.repeat(43)}=`) });
  assert.throws(() => box.runtime.run('install'), /The server answers 401/);
  assert.deepEqual([box.runtime.triggers.length, box.runtime.properties.size], [0, 0]);
});

test('install names what of the configuration is wrong before it calls anyone', () => {
  for (const [change, message] of [
    [
      (script: string) =>
        script.replace(/const MAILGRESS_URL = .*/, "const MAILGRESS_URL = 'http://mail.example.com';"),
      /https/,
    ],
    [(script: string) => script.replace(/const SOURCE_ID = .*/, "const SOURCE_ID = 'src_';"), /SOURCE_ID/],
    [NEW_SECRET('hunter2 is the secret'), /whsec_/],
    [NEW_SECRET(''), /SECRET/],
  ] as const) {
    const box = created({ install: false, change });
    assert.throws(() => box.runtime.run('install'), message);
    assert.equal(box.runtime.posts.length, 0);
  }
});

test('install refuses another account than the one that the source is for, unless told that any will do', () => {
  const fill = (account: string) => (script: string) =>
    script.replace(/const ACCOUNT = .*;/, `const ACCOUNT = '${account}';`);
  const other = created({ install: false, change: fill('other@example.com') });
  assert.throws(
    () => other.runtime.run('install'),
    /You are signed in as functions-\d+@example.com, but this script is for other@example.com/,
  );
  assert.deepEqual([other.runtime.posts.length, other.runtime.properties.size], [0, 0]);
  created({ change: fill(`FUNCTIONS-${next}@example.com`) });
  created({
    change: (script: string) =>
      fill('other@example.com')(script).replace('ANY_ACCOUNT = false', 'ANY_ACCOUNT = true'),
  });
});

test('the secret in the code can be emptied after install', () => {
  const box = created();
  const emptied = createInstallation(world, box.runtime.settings.account, {
    install: false,
    change: NEW_SECRET(''),
  });
  for (const [key, value] of box.runtime.properties) emptied.runtime.properties.set(key, value);
  // The other source's id goes with the state.
  const state = { ...box.runtime.state, source: emptied.source.id };
  emptied.runtime.properties.set('mailgress.secret', emptied.source.secret);
  emptied.runtime.properties.set('mailgress.state', JSON.stringify(state));
  emptied.runtime.run('install');
  assert.equal(emptied.runtime.run('selfTest'), true);
  assert.equal(emptied.runtime.properties.get('mailgress.secret'), emptied.source.secret);
});

test('for another source it begins anew', () => {
  const box = created();
  box.deliver('for the first source', { isWanted: false });
  const other = createInstallation(world, box.runtime.settings.account, { install: false });
  for (const [key, value] of box.runtime.properties) other.runtime.properties.set(key, value);
  other.runtime.run('install');
  other.deliver('for the second');
  other.pass(1.1);
  other.expectAllStored();
});

test('uninstall leaves no trigger and nothing behind', () => {
  const box = created();
  box.deliver('one');
  box.pass(1.1);
  box.runtime.run('uninstall');
  assert.deepEqual([box.runtime.triggers.length, box.runtime.properties.size], [0, 0]);
  box.runtime.run('poll');
  assert.equal(box.runtime.properties.size, 0);
});

test('status tells what a person wants to know', () => {
  const box = created();
  box.deliver('one');
  box.pass(2);
  box.runtime.serverFaults.push(() => ({ status: 503, body: '{"detail": "The database is out of reach"}' }));
  box.deliver('two');
  box.pass(1);
  const text = String(box.runtime.run('status'));
  for (const line of [
    /^mailbox +functions-\d+@example.com$/m,
    /^runs +every 1 min \(1 trigger\), last 2026-/m,
    /^server +heard it 2026-/m,
    /^cursor +\d{21}: all mail up to 2026-/m,
    /^backlog +1, 1 being sent$/m,
    /^runtime +0 min in 24 h$/m,
    /^last error +2026-\S+ The server answers 503: The database is out of reach\.$/m,
    /^waits +until 2026-/m,
  ]) {
    assert.match(text, line);
  }
  assert.ok(!text.includes(box.source.secret));
  assert.match(String(created({ install: false }).runtime.run('status')), /not installed: run install/);
});

test('selfTest says which part fails', () => {
  const box = created();
  assert.equal(box.runtime.run('selfTest'), true);
  box.runtime.serverFaults.push(() => ({ status: 503 }));
  box.runtime.triggers.length = 0;
  box.runtime.log.length = 0;
  assert.equal(box.runtime.run('selfTest'), false);
  assert.deepEqual(
    box.runtime.log.map((line) => line.replace(/^log /, '').replace(/:.*/, '')),
    [
      'ok configuration',
      'ok signatures',
      'ok Gmail',
      'ok history',
      'FAILED the server',
      'FAILED the trigger',
    ],
  );
});

test('paused it reads no mail and tells the server; resumed it goes on where it was', () => {
  const box = created();
  box.pass(1.1);
  box.runtime.run('pause');
  const from = box.runtime.calls.length;
  box.deliver('while paused');
  box.pass(60);
  assert.ok(!box.runtime.calls.slice(from).some(({ name }) => name.startsWith('Gmail.')));
  world.flush();
  assert.equal(box.api('GET', `/v1/sources/${box.source.id}`).script.paused, true);
  assert.ok(box.runtime.posts.length >= 5, 'heartbeats go on');
  box.runtime.run('resume');
  box.pass(1.1);
  box.expectAllStored();
  world.flush();
  assert.equal(box.api('GET', `/v1/sources/${box.source.id}`).script.paused, false);
});

test('a secret is rotated without a missed mail', () => {
  const box = created();
  const rotated = box.api('POST', `/v1/sources/${box.source.id}/rotate-secret`).secret;
  box.deliver('under the old secret');
  box.pass(1.1);
  box.expectAllStored();
  const edited = createInstallation(world, box.runtime.settings.account, {
    install: false,
    change: (script) =>
      NEW_SECRET(rotated)(script).replace(/const SOURCE_ID = .*/, `const SOURCE_ID = '${box.source.id}';`),
  });
  for (const [key, value] of box.runtime.properties) edited.runtime.properties.set(key, value);
  edited.runtime.run('rotateSecret');
  assert.equal(edited.runtime.properties.get('mailgress.secret'), rotated);
  assert.equal(edited.runtime.run('selfTest') || edited.runtime.triggers.length === 0, true);
});

test('a secret that the server does not know is not taken', () => {
  const box = created({ change: NEW_SECRET(`whsec_${'A'.repeat(43)}=`), install: false });
  box.runtime.properties.set('mailgress.secret', box.source.secret);
  assert.throws(() => box.runtime.run('rotateSecret'), /The server answers 401/);
  assert.equal(box.runtime.properties.get('mailgress.secret'), box.source.secret);
});

test('what a person runs waits for a run to end, and gives up after half a minute', () => {
  const box = created();
  let message = '';
  box.deliver('one');
  box.runtime.onCall = ({ name }) => {
    if (name !== 'UrlFetchApp.fetch' || message !== '') return undefined;
    message = 'begun';
    try {
      box.runtime.run('pause');
    } catch (error) {
      message = String(Object(error).message);
    }
    return undefined;
  };
  box.pass(1.1);
  assert.match(message, /A run is at work/);
  assert.equal(box.runtime.state.paused, false);
});
