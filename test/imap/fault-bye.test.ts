import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import postgres from 'postgres';
import { startScriptedServer } from '../support/imap/scripted-server.ts';
import { startStage, until } from './stage.ts';

const stage = await startStage({ imapProbeMs: 500, scanIntervalMs: 200 });
after(() => stage[Symbol.asyncDispose]());
const sql = postgres(stage.service.databaseUrl, { max: 1 });
after(() => sql.end({ timeout: 5 }));

/** Fewer than make a mail suspect that is read while connections end. */
const TIMES = 2;

/*
 * After BYE the connection lives for a moment longer, and commands answer as if there were nothing: no folders, no mail.
 */
for (const command of ['LIST', 'EXAMINE', 'UID FETCH', 'STATUS'] as const)
  test(`BYE behind the answer to ${command} is the end of the connection, and no mail is passed`, async () => {
    const mails = [{ raw: 'Subject: From before\r\n\r\nHello\r\n' }];
    await using server = await startScriptedServer({ mails });
    const user = `bye-${command.toLowerCase().replace(' ', '-')}@example.com`;
    const made = await stage.addSource(user, {
      ...{ host: server.host, port: server.port, security: 'none', folders: [{ path: 'INBOX' }] },
      auth: { type: 'password', user, password: 'any' },
    });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    await stage.waitForState(made.body.id, 'idle');
    const usual = server.handlers[command];
    let said = 0;
    server.handlers[command] = async (asked, session) => {
      const answer = (await usual?.(asked, session)) ?? [];
      // Once the folder is to be read; one connection after the other.
      if (said === TIMES) return answer;
      said++;
      return [...(typeof answer === 'string' ? [answer] : answer), '* BYE that is all'];
    };
    const subject = `Behind ${command}`;
    server.arrive({ raw: `Subject: ${subject}\r\n\r\nHello\r\n` });
    for (let times = 1; times <= TIMES; times++) {
      // What the passing of time does. A look asks for all of it.
      await sql`UPDATE sources SET due_at = now(), hinted_at = now() WHERE id = ${made.body.id.slice(4)}`;
      if (times === 1) for (const session of server.sessions()) session.end();
      await until(
        async () => {
          await sql`UPDATE sources SET due_at = now(), hinted_at = now() WHERE id = ${made.body.id.slice(4)}`;
          return said >= times;
        },
        20_000,
        () => `the server has not said BYE ${times} times`,
      );
      await until(
        async () => {
          const [row] = await sql`SELECT fault, failures FROM sources WHERE id = ${made.body.id.slice(4)}`;
          assert.notEqual(row?.fault, 'internal');
          return row?.fault === 'network';
        },
        20_000,
        () => 'the failure is of another class',
      );
    }
    await until(
      async () => {
        await sql`UPDATE sources SET due_at = now() WHERE id = ${made.body.id.slice(4)}`;
        return stage.subjects().includes(subject);
      },
      20_000,
      () => 'the mail has not come',
    );
    const [left] =
      await sql`SELECT count(*)::int AS stubs FROM stubs WHERE source_id = ${made.body.id.slice(4)}`;
    assert.equal(left?.stubs, 0);
  });
