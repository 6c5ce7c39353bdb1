import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { type ImapConnection, openConnection } from '../../src/sources/imap/connection.ts';
import { ImapError } from '../../src/sources/imap/imap-error.ts';
import { listFolders } from '../../src/sources/imap/list-folders.ts';
import { listMailsBehind } from '../../src/sources/imap/listing.ts';
import { type CommandHandler, startScriptedServer } from '../support/imap/scripted-server.ts';

/* A server that answers without end, whatever it is asked. */

const MEGABYTE = 1024 * 1024;
/** Far beyond every limit: it ends the test if the server is not left. */
const ENOUGH = 100 * MEGABYTE;
const server = await startScriptedServer({ mails: [{ raw: 'Subject: a\r\n\r\nx' }] });
after(() => server.stop());

const resolve = async (address: string) => [{ address }];

function connect(): Promise<ImapConnection> {
  const auth = { user: 'u', pass: 'p' };
  return openConnection(
    { host: '127.0.0.1', port: server.port, security: 'none', advice: '', auth },
    {
      ...{ resolve, resolveInClear: resolve, version: '1', maxMailBytes: 1_000_000 },
      timeouts: { commandMs: 60_000 },
    },
    AbortSignal.timeout(110_000),
  );
}

const still = `* OK still here${' still here'.repeat(100)}`;
const numbers = `* SEARCH ${Array.from({ length: 90_000 }, (_, at) => at + 1).join(' ')}`;
const folder = `* LIST () "/" "${'f'.repeat(1000)}"`;

const ANSWERS: [
  name: string,
  command: string,
  line: string,
  ask: (to: ImapConnection) => Promise<unknown>,
][] = [
  ['STATUS', 'STATUS', still, (to) => to.run((client) => client.status('INBOX', { uidNext: true }))],
  ['NOOP', 'NOOP', still, (to) => to.run((client) => client.noop())],
  ['a search', 'UID SEARCH', numbers, (to) => listMailsBehind(to, 0, undefined, 'scope')],
  ['the list of folders', 'LIST', folder, listFolders],
  ['FETCH, without a row', 'UID FETCH', still, (to) => listMailsBehind(to, 0, 1, 'scope')],
];

describe('a server is left that answers without end', () => {
  for (const [name, command, line, ask] of ANSWERS)
    test(name, async () => {
      const connection = await connect();
      await connection.run((client) => client.mailboxOpen('INBOX', { readOnly: true }));
      const usual = server.handlers[command];
      assert.ok(usual);
      let sent = 0;
      const flood: CommandHandler = async (_command, session) => {
        const block = `${line}\r\n`.repeat(Math.ceil(64_000 / line.length));
        for (; sent < ENOUGH && session.socket.writable; sent += block.length)
          if (!session.write(block)) await session.drained();
        return '$tag OK over';
      };
      server.handlers[command] = flood;
      try {
        await assert.rejects(
          ask(connection),
          (error) =>
            error instanceof ImapError &&
            error.fault === 'protocol' &&
            /more than was asked for/.test(error.message),
        );
        assert.ok(!connection.isOpen());
        assert.ok(sent < ENOUGH, `${sent} bytes were taken`);
      } finally {
        server.handlers[command] = usual;
        connection.close();
      }
    });

  test('the login', async () => {
    const usual = server.handlers.AUTHENTICATE;
    assert.ok(usual);
    server.handlers.AUTHENTICATE = async (_command, session) => {
      const block = `${still}\r\n`.repeat(60);
      for (let sent = 0; sent < ENOUGH && session.socket.writable; sent += block.length)
        if (!session.write(block)) await session.drained();
      return undefined;
    };
    try {
      await assert.rejects(
        connect(),
        (error) =>
          error instanceof ImapError && error.fault === 'protocol' && /more than/.test(error.message),
      );
    } finally {
      server.handlers.AUTHENTICATE = usual;
    }
  });

  test('nothing, while nobody asks it and it is not idled on', async () => {
    const connection = await connect();
    await connection.run((client) => client.mailboxOpen('INBOX', { readOnly: true }));
    const ended = new Promise<void>((resolve) => connection.onChange(resolve));
    const [session] = server.sessions().slice(-1);
    assert.ok(session);
    const block = `${still}\r\n`.repeat(60);
    for (let sent = 0; sent < ENOUGH && session.socket.writable; sent += block.length)
      if (!session.write(block)) await session.drained();
    await ended;
    assert.ok(!connection.isOpen());
    await assert.rejects(
      connection.run((client) => client.noop()),
      (error) =>
        error instanceof ImapError && error.fault === 'protocol' && /without end/.test(error.message),
    );
  });
});
