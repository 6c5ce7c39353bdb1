import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { hugeLiteral, longLine } from '../support/imap/hostile.ts';
import { type ScriptedServer, startScriptedServer } from '../support/imap/scripted-server.ts';
import { mailTo, until } from './stage.ts';
import { addNeighbour, refuseSource, startTroubledStage, waitForFailure } from './trouble.ts';

/* A server without measure: a gigabyte where a line is due. What it sends is made in this process too, a piece at a time. */

const GIGABYTE = 1024 ** 3;
const MOST_BYTES = 150 * 1024 * 1024;

const dovecot = await startDovecot();
after(() => dovecot.stop());
const stage = await startTroubledStage({ imapTimeouts: { connectMs: 10_000, commandMs: 10_000 } });
after(() => stage[Symbol.asyncDispose]());
const neighbour = await addNeighbour(stage, dovecot);
after(() => neighbour.proxy.close());

/** How far the memory of the process went beyond what it was before. */
async function measure(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage.rss();
  let highest = before;
  const timer = setInterval(() => {
    highest = Math.max(highest, process.memoryUsage.rss());
  }, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return highest - before;
}

const ofLength = (server: ScriptedServer) => ({ host: '127.0.0.1', port: server.port, security: 'none' });
const tooMuch = /no IMAP, or too much of it|not answered|closed the connection|broken off/;

describe('a gigabyte costs the process little, and its own session alone', () => {
  test('as the line of a greeting', async () => {
    const server = await startScriptedServer({
      greeting: null,
      onConnection: (session) => void longLine(GIGABYTE)({ tag: 'x', name: '', args: '' }, session),
    });
    after(() => server.stop());
    const auth = { type: 'password', user: 'greeting', password: 'x' };
    const grown = await measure(async () => {
      const source = { ...ofLength(server), auth };
      const { code, status } = { code: 'bad_request', status: 400 };
      await refuseSource(stage, 'greeting@example.com', source, { code, status });
    });
    assert.ok(grown < MOST_BYTES, `${grown} bytes`);
    await until(
      () => server.sessions().length === 0,
      20_000,
      () => 'it is hung up on',
    );
  });

  const ANSWERS = [
    ['a line in the answer to FETCH', 'UID FETCH', longLine(GIGABYTE)],
    ['a line in IDLE', 'IDLE', longLine(GIGABYTE)],
    ['a line in the answer to STATUS', 'STATUS', longLine(GIGABYTE, '* STATUS INBOX (')],
    ['a row of a FETCH', 'UID FETCH', longLine(GIGABYTE, '* 1 FETCH (UID 1 FLAGS (')],
    ['a literal', 'UID FETCH', hugeLiteral(GIGABYTE, GIGABYTE)],
    ['a literal longer than the largest mail', 'UID FETCH', hugeLiteral(8 * 1024 * 1024, GIGABYTE)],
  ] as const;
  for (const [at, [name, command, handler]] of ANSWERS.entries())
    test(`as ${name}`, async () => {
      await using server = await startScriptedServer();
      const user = `size-${at}@example.com`;
      const auth = { type: 'password', user, password: 'x' };
      const { status, body } = await stage.addSource(user, { ...ofLength(server), auth });
      assert.equal(status, 201, JSON.stringify(body));
      await stage.waitForState(body.id, 'idle');
      const usual = server.handlers[command];
      assert.ok(usual);
      const grown = await measure(async () => {
        server.handlers[command] = handler;
        server.arrive({ raw: mailTo(user, `beyond ${name}`) });
        await waitForFailure(stage, body.id, tooMuch, 60_000);
      });
      server.handlers[command] = usual;
      await stage.hurry(body.id);
      await stage.waitForSubjects([`beyond ${name}`], 60_000);
      assert.ok(grown < MOST_BYTES, `${grown} bytes`);
      await neighbour.assertUntouched();
    });

  test('as mails that nobody asked for, each with its bytes', async () => {
    await using server = await startScriptedServer();
    const user = 'unasked@example.com';
    const auth = { type: 'password', user, password: 'x' };
    const { body } = await stage.addSource(user, { ...ofLength(server), auth });
    await stage.waitForState(body.id, 'idle');
    const usual = server.handlers['UID FETCH'];
    assert.ok(usual);
    const bytes = Buffer.alloc(512 * 1024, 'a');
    server.handlers['UID FETCH'] = async (_command, session) => {
      for (let uid = 1000; uid < 2000 && session.socket.writable; uid++) {
        session.send(
          Buffer.concat([
            Buffer.from(`* 1 FETCH (UID ${uid} BODY[] {${bytes.length}}\r\n`),
            bytes,
            Buffer.from(')'),
          ]),
        );
        await session.drained();
      }
      return '$tag OK done';
    };
    const grown = await measure(async () => {
      server.arrive({ raw: mailTo(user, 'beyond what was asked for') });
      await waitForFailure(stage, body.id, /more than was asked for/, 60_000);
    });
    server.handlers['UID FETCH'] = usual;
    await stage.hurry(body.id);
    await stage.waitForSubjects(['beyond what was asked for'], 60_000);
    assert.ok(grown < MOST_BYTES, `${grown} bytes`);
  });

  test('as a hundred thousand lines that nobody asked for', async () => {
    await using server = await startScriptedServer();
    const user = 'lines@example.com';
    const auth = { type: 'password', user, password: 'x' };
    const { body } = await stage.addSource(user, { ...ofLength(server), auth });
    await stage.waitForState(body.id, 'idle');
    const [session] = server.sessions();
    assert.ok(session);
    const lines = Buffer.from('* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* 1 EXISTS\r\n'.repeat(500));
    const grown = await measure(async () => {
      for (let sent = 0; sent < 100 && session.socket.writable; sent++)
        if (!session.write(lines)) await session.drained();
    });
    assert.ok(grown < MOST_BYTES, `${grown} bytes`);
    const fetches = server.commands.filter((one) => one.includes('UID FETCH')).length;
    assert.ok(fetches < 1000, `${fetches} fetches for fifty thousand EXISTS`);
    server.arrive({ raw: mailTo(user, 'after so many lines') });
    await stage.waitForSubjects(['after so many lines'], 60_000);
  });
});

test('all the while the other mailbox went on', () => neighbour.assertUntouched());
