import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Dovecot, startDovecot } from '../support/imap/dovecot.ts';
import { openImapLines } from '../support/imap/imap-client.ts';
import { skipWithoutDovecot } from '../support/imap/install.ts';
import { isListening } from '../support/process.ts';

const MAIL = 'Subject: Hello\r\nMessage-ID: <1@example.com>\r\n\r\nHello\r\n';

describe('a Dovecot of the tests', { skip: await skipWithoutDovecot() }, () => {
  let dovecot: Dovecot;
  before(async () => {
    dovecot = await startDovecot();
  });
  after(() => dovecot.stop());

  async function login(user: string, password = dovecot.password) {
    const client = await openImapLines(dovecot);
    await client.until(/^\* OK/);
    const answer = await client.command(`LOGIN ${user} ${password}`);
    return Object.assign(client, { answer: answer.at(-1) ?? '' });
  }

  async function idle(user: string) {
    const client = await login(user);
    await client.command('SELECT INBOX');
    client.send('idle IDLE');
    await client.until(/^\+/);
    return client;
  }

  test('takes any user with the one password, and counts the login', async () => {
    await using client = await login('ada@example.com');
    assert.match(client.answer, /OK .*IDLE.*CONDSTORE/);
    const [first, ...more] = dovecot.logins('ada@example.com');
    assert.deepEqual(more, []);
    assert.equal(first?.method, 'PLAIN');
    assert.equal(first?.clientPort, client.socket.localPort);
    assert.equal(dovecot.connections('ada@example.com').length, 1);
  });

  test('refuses a wrong password, and the old one after a change', async () => {
    const { answer } = await login('grace', 'wrong');
    assert.match(answer, /NO \[AUTHENTICATIONFAILED\]/);
    await dovecot.setPassword('grace', 'another');
    assert.match((await login('grace')).answer, /NO \[AUTHENTICATIONFAILED\]/);
    assert.match((await login('grace', 'another')).answer, /OK/);
    await dovecot.setPassword('grace', 'third');
    assert.match((await login('grace', 'another')).answer, /NO/);
    assert.match((await login('grace', 'third')).answer, /OK/);
    assert.match((await login('somebody')).answer, /OK/);
    assert.equal(dovecot.authFailures('grace').length, 3);
  });

  for (const how of ['drop', 'deliver', 'append'] as const)
    test(`tells an idle client of a mail by ${how}`, async () => {
      await using client = await idle(`idle-${how}`);
      await dovecot[how](`idle-${how}`, MAIL);
      assert.equal(await client.until(/EXISTS/), '* 1 EXISTS');
      assert.equal((await dovecot.status(`idle-${how}`)).uidNext, 2);
    });

  test('delivers into folders, moves, flags and expunges', async () => {
    await dovecot.drop('folders', MAIL, { folder: 'Junk', flags: ['seen'] });
    await dovecot.deliver('folders', MAIL, { folder: 'Junk' });
    await dovecot.append('folders', MAIL, { folder: 'Junk' });
    await dovecot.drop('folders', MAIL, { folder: 'Junk', internalDate: new Date('2020-02-02T00:00:00Z') });
    assert.equal((await dovecot.status('folders', 'Junk')).messages, 4);
    await dovecot.move('folders', 'Junk', 'INBOX', 'SEEN');
    await dovecot.expunge('folders', 'Junk', 'BEFORE 2021-01-01');
    await dovecot.flag('folders', 'Junk', 'add', '\\Flagged');
    assert.equal((await dovecot.status('folders', 'Junk')).messages, 2);
    assert.equal((await dovecot.status('folders')).messages, 1);
    await dovecot.createFolder('folders', 'Café/Paris');
    await dovecot.renameFolder('folders', 'Café/Paris', 'Bar');
    await dovecot.deleteFolder('folders', 'Bar');
  });

  test('lists the folders with their roles', async () => {
    await using client = await login('roles');
    const list = await client.command('LIST "" *');
    for (const name of ['Junk', 'Sent', 'Trash', 'Drafts', 'Archive'])
      assert.ok(
        list.some((line) => line.includes(`\\${name}`) && line.endsWith(` ${name}`)),
        list.join('\n'),
      );
  });

  test('ends an open session when UIDVALIDITY changes, and a new one sees it', async () => {
    await dovecot.deliver('flip', MAIL);
    await using client = await idle('flip');
    const value = await dovecot.flipUidValidity('flip');
    await dovecot.drop('flip', MAIL);
    await client.until(/^\* BYE/);
    await using again = await login('flip');
    const selected = await again.command('SELECT INBOX');
    assert.ok(selected.some((line) => line.includes(`UIDVALIDITY ${value}`)));
  });

  test('kicks one user', async () => {
    await using kicked = await idle('kicked');
    await using other = await idle('not-kicked');
    await dovecot.kick('kicked');
    await kicked.until(/^\* BYE/);
    await kicked.closed;
    assert.equal(dovecot.connections('kicked').length, 0);
    other.send('DONE');
    await other.until(/^idle OK/);
  });

  test('freezes and goes on', async () => {
    await using client = await login('frozen');
    dovecot.pause();
    client.send('late NOOP');
    dovecot.resume();
    await client.until(/^late OK/);
  });

  test('comes back on its ports with its mail, and leaves nothing behind', async () => {
    await using own = await startDovecot({ certificate: 'wrong-name', requireTls: true });
    await own.deliver('kept', MAIL);
    for (const how of ['in order', 'killed'] as const) {
      await using client = await openImapLines({
        port: own.tlsPort,
        tls: true,
        ca: own.ca,
        isNameChecked: false,
      });
      await client.command(`LOGIN kept ${own.password}`);
      const selected = await client.command('SELECT INBOX');
      assert.ok(selected.includes('* 1 EXISTS'));
      await own.restart(how);
      if (how === 'in order') await client.until(/^\* BYE/);
      await client.closed;
    }
    await assert.rejects(openImapLines({ port: own.tlsPort, tls: true, ca: own.ca }), /altnames/);
    await using clear = await openImapLines(own);
    assert.match(await clear.until(/^\* OK/), /LOGINDISABLED/);
    assert.match((await clear.command(`LOGIN kept ${own.password}`)).at(-1) ?? '', /NO \[PRIVACYREQUIRED\]/);
    await own.stop();
    assert.equal(existsSync(own.directory), false);
    assert.equal(await isListening(own.port), false);
  });
});
