import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ImapFlow } from 'imapflow';
import { createCertificates } from '../support/imap/certificates.ts';
import {
  answerWith,
  existsStorm,
  hugeLiteral,
  longLine,
  neverAnswer,
  startTlsWithInjection,
  withForged,
} from '../support/imap/hostile.ts';
import { openImapLines } from '../support/imap/imap-client.ts';
import { startScriptedServer } from '../support/imap/scripted-server.ts';

const MAILS = [
  { raw: 'Subject: One\r\n\r\n1\r\n' },
  { raw: 'Subject: Two\r\n\r\n2\r\n', uid: 7, flags: '\\Seen' },
];

describe('the scripted server', () => {
  test('is a minimal server to a real client: login, list, fetch, idle, logout', async () => {
    await using server = await startScriptedServer({ mails: MAILS });
    const client = new ImapFlow({
      ...{ host: server.host, port: server.port, secure: false, doSTARTTLS: false, logger: false },
      auth: { user: 'me', pass: 'any' },
    });
    client.on('error', () => {});
    await client.connect();
    assert.deepEqual(
      (await client.list()).map(({ path }) => path),
      ['INBOX'],
    );
    const mailbox = await client.mailboxOpen('INBOX');
    assert.equal(mailbox.exists, 2);
    assert.equal(mailbox.uidNext, 8);
    const found = [];
    for await (const { uid, source, flags } of client.fetch('1:*', { uid: true, source: true, flags: true }))
      found.push({ uid, source: source?.toString(), flags: [...(flags ?? [])] });
    assert.deepEqual(found, [
      { uid: 1, source: MAILS[0]?.raw, flags: [] },
      { uid: 7, source: MAILS[1]?.raw, flags: ['\\Seen'] },
    ]);
    const idling = client.idle();
    await server.heard(/ IDLE$/);
    const arrived = new Promise<number>((resolve) => {
      client.on('exists', ({ count }) => resolve(count));
    });
    assert.equal(server.arrive({ raw: 'Subject: Three\r\n\r\n' }), 8);
    assert.equal(await arrived, 3);
    await client.logout();
    await idling;
    assert.ok(server.commands.some((command) => / LOGOUT$/.test(command)));
  });

  test('greets as told, or not at all', async () => {
    for (const greeting of ['* BYE busy', '* PREAUTH welcome']) {
      await using server = await startScriptedServer({ greeting });
      await using client = await openImapLines(server);
      assert.equal(await client.until(/^\*/), greeting);
    }
    await using silent = await startScriptedServer({ greeting: null });
    await using client = await openImapLines(silent);
    assert.deepEqual(await client.command('NOOP'), ['t1 OK done']);
  });

  test('answers a command as its handler does, never, or BAD when there is none', async () => {
    await using server = await startScriptedServer({
      handlers: { LOGIN: answerWith('NO [LIMIT] later'), ENABLE: null, STATUS: neverAnswer },
    });
    await using client = await openImapLines(server);
    assert.deepEqual((await client.command('LOGIN a b')).slice(-1), ['t1 NO [LIMIT] later']);
    assert.deepEqual(await client.command('ENABLE X'), ['t2 BAD no such command']);
    client.send('never STATUS INBOX (MESSAGES)');
    await client.command('NOOP');
    assert.ok(!client.lines.some((line) => line.startsWith('never')));
    server.handlers.LOGIN = answerWith('OK now');
    assert.deepEqual(await client.command('LOGIN a b'), ['t4 OK now']);
  });

  test('forged rows, EXISTS storms, long lines and large literals', async () => {
    const sizeBytes = 5_000_000;
    await using server = await startScriptedServer({
      handlers: {
        NOOP: withForged(['* 1 FETCH (FLAGS ())', '* 1 FETCH (UID -5)'], answerWith('OK done')),
        CHECK: existsStorm(10_000),
        STATUS: longLine(sizeBytes),
        FETCH: hugeLiteral(999_999_999, 1_000_000),
      },
    });
    await using client = await openImapLines(server);
    assert.ok((await client.command('NOOP')).includes('* 1 FETCH (UID -5)'));
    assert.equal((await client.command('CHECK')).length, 10_001);
    const [line = ''] = await client.command('STATUS INBOX (MESSAGES)');
    assert.ok(line.length >= sizeBytes);
    let bytes = 0;
    const came = new Promise<void>((resolve) => {
      client.socket.on('data', (chunk) => {
        bytes += chunk.length;
        if (bytes > 1_000_000) resolve();
      });
    });
    client.send('f FETCH 1 BODY[]');
    await came;
  });

  test('STARTTLS: goes on in TLS, is refused, or comes with lines injected before', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'mailgress-scripted-'));
    const { ca, certPath, keyPath } = await createCertificates(directory);
    const tls = { cert: await readFile(certPath, 'utf8'), key: await readFile(keyPath, 'utf8') };
    await rm(directory, { recursive: true });
    const connect = async (server: { port: number }) => {
      const client = new ImapFlow({
        ...{ host: 'localhost', port: server.port, secure: false, doSTARTTLS: true, logger: false },
        ...{ auth: { user: 'me', pass: 'any' }, tls: { ca } },
      });
      client.on('error', () => {});
      await client.connect().finally(() => client.close());
    };
    await using good = await startScriptedServer({ tls, mails: MAILS });
    await connect(good);
    assert.ok(good.commands.some((command) => / LOGIN |AUTHENTICATE/.test(command)));
    await using refused = await startScriptedServer({ handlers: { STARTTLS: answerWith('NO not now') } });
    await assert.rejects(connect(refused));
    await using injected = await startScriptedServer({
      tls,
      handlers: { STARTTLS: startTlsWithInjection(['* CAPABILITY IMAP4rev1 FORGED']) },
    });
    await using lines = await openImapLines(injected);
    lines.send('s STARTTLS');
    await lines.until(/FORGED/);
  });
});
