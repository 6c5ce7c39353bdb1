import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openConnection } from '../../src/sources/imap/connection.ts';
import { ImapError } from '../../src/sources/imap/imap-error.ts';
import { startScriptedServer } from '../support/imap/scripted-server.ts';
import { until } from './stage.ts';

const server = await startScriptedServer({ mails: [{ raw: 'Subject: a\r\n\r\nx' }] });
after(() => server.stop());

const resolve = async (address: string) => [{ address }];

const FLOODS: [name: string, line: (at: number) => string][] = [
  ['new mail', (at) => `* ${at + 1} EXISTS`],
  ['that it is there', () => '* OK still here'],
];

for (const [name, line] of FLOODS)
  test(`a server that tells ${name} without end while it is idled on is left`, async () => {
    let isOver = false;
    server.handlers.IDLE = async (_command, session) => {
      session.send('+ idling');
      for (let sent = 0; !isOver && sent < 10_000; sent++) {
        session.send(Array.from({ length: 500 }, (_, at) => line(sent * 500 + at)).join('\r\n'));
        await new Promise((resolve) => setImmediate(resolve));
      }
      return '$tag OK over';
    };
    const connection = await openConnection(
      {
        ...{ host: '127.0.0.1', port: server.port, security: 'none', advice: '' },
        auth: { user: 'u', pass: 'p' },
      },
      { resolve, resolveInClear: resolve, version: '1', maxMailBytes: 1_000_000 },
      AbortSignal.timeout(60_000),
    );
    await connection.run((client) => client.mailboxOpen('INBOX', { readOnly: true }));
    connection.idle();
    try {
      await until(
        () => !connection.isOpen(),
        20_000,
        () => 'it is still listened to',
      );
    } finally {
      isOver = true;
      connection.close();
    }
    await assert.rejects(
      connection.run((client) => client.noop()),
      (error) =>
        error instanceof ImapError && error.fault === 'protocol' && /without end/.test(error.message),
    );
  });
