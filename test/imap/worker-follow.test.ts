import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Dovecot, startDovecot } from '../support/imap/dovecot.ts';
import { mailTo, serverOf, until } from './stage.ts';
import { openWorkerScene, type WorkerScene } from './workers.ts';

/** Promised are 2 s; the rest is for a machine with other work, and what was measured is printed. */
const WITHIN_MS = 5000;

describe('what is asked of the API', () => {
  let dovecot: Dovecot;
  let scene: WorkerScene;
  before(async () => {
    dovecot = await startDovecot();
    scene = await openWorkerScene(dovecot);
    scene.startWorker();
    // So that it runs before anything is asked, and has room for more than it holds: this one is never reached.
    const server = { ...serverOf(dovecot, 'nobody@example.com'), port: dovecot.port };
    const id = await scene.addSource('nobody@example.com', server);
    await scene.untilState(id, 'idle');
    await scene.sql`
      UPDATE sources SET settings = settings || '{"port":1}', fence = fence + 1, lease_until = NULL, lease_owner = NULL
      WHERE id = ${id.slice(4)}`;
    await scene.untilState(id, 'backoff');
  });
  after(async () => {
    await scene?.[Symbol.asyncDispose]();
    await dovecot?.stop();
  });

  async function within(
    t: { diagnostic(text: string): void },
    what: string,
    isSo: () => Promise<boolean> | boolean,
  ) {
    const fromMs = performance.now();
    await until(isSo, WITHIN_MS, () => `not ${what}`);
    t.diagnostic(`${what} after ${Math.round(performance.now() - fromMs)} ms`);
  }

  const connectionsOf = (user: string) => dovecot.connections(user).length;
  const ask = async (verb: string, id: string, what = '', body?: unknown) => {
    const { status, body: answer } = await scene.service.api(verb, `/v1/sources/${id}${what}`, body);
    assert.ok(status < 300, JSON.stringify(answer));
  };
  const isIdle = async (id: string) => (await scene.read(id)).state === 'idle';

  test('a new mailbox, stop, start and delete are followed without a restart', async (t) => {
    const user = 'followed@example.com';
    const id = await scene.addSource(user);
    await within(t, 'read since it was made', () => isIdle(id));
    await ask('POST', id, '/stop');
    await within(t, 'without a connection since it was stopped', () => connectionsOf(user) === 0);
    await within(t, 'given back', async () => (await scene.read(id)).leaseHolder === null);
    const { state, wanted } = await scene.read(id);
    assert.deepEqual([state, wanted], ['disconnected', false]);
    await dovecot.deliver(user, mailTo(user, 'while it was stopped'));

    await ask('POST', id, '/start');
    await within(t, 'idle since it was started', () => isIdle(id));
    await within(t, 'read what came meanwhile', async () => {
      const rows = await scene.sql`SELECT FROM messages WHERE subject = 'while it was stopped'`;
      return rows.length === 1;
    });
    await ask('DELETE', id);
    await within(t, 'without a connection since it was deleted', () => connectionsOf(user) === 0);
  });

  test('a mailbox that is deleted is left', async (t) => {
    const user = 'left@example.com';
    const id = await scene.addSource(user);
    await scene.untilState(id, 'idle');
    const { mailboxId } = await scene.read(id);
    const { status } = await scene.service.api('DELETE', `/v1/mailboxes/${mailboxId}`);
    assert.equal(status, 204);
    await within(t, 'without a connection since its mailbox was deleted', () => connectionsOf(user) === 0);
  });

  test('new credentials and settings begin a new session, and the old one ends', async (t) => {
    const user = 'changed@example.com';
    const id = await scene.addSource(user);
    await scene.untilState(id, 'idle');
    await dovecot.setPassword(user, 'another');
    const [before] = dovecot.connections(user);
    await ask('PATCH', id, '', { auth: { type: 'password', user, password: 'another' } });
    await within(t, 'another session since the change', async () => {
      const [now, ...more] = dovecot.connections(user);
      return now !== undefined && now.session !== before?.session && more.length === 0 && (await isIdle(id));
    });
    await dovecot.deliver(user, mailTo(user, 'after the change'));
    await within(t, 'read since the change', async () => {
      return (await scene.sql`SELECT FROM messages WHERE subject = 'after the change'`).length === 1;
    });
  });

  test('many changes in a row leave one session, in the state it is in', async (t) => {
    const user = 'hurried@example.com';
    const id = await scene.addSource(user);
    await scene.untilState(id, 'idle');
    for (const pollIntervalMs of [6000, 7000, 8000, 9000, 10_000, 11_000])
      await ask('PATCH', id, '', { settings: { pollIntervalMs } });
    await within(
      t,
      'one session since the last change',
      async () => connectionsOf(user) === 1 && (await isIdle(id)),
    );
    // None of those of before is left, also not later.
    await dovecot.deliver(user, mailTo(user, 'to one session'));
    await until(
      async () => (await scene.sql`SELECT FROM messages WHERE subject = 'to one session'`).length === 1,
      20_000,
      () => 'not read',
    );
    assert.equal(connectionsOf(user), 1);
  });

  test('a start of what is stopped just now, or runs already, leaves it in its state', async (t) => {
    const user = 'restless@example.com';
    const id = await scene.addSource(user);
    await scene.untilState(id, 'idle');
    await ask('POST', id, '/start');
    await within(t, 'idle since it was started although it ran', async () => {
      const { reason } = await scene.read(id);
      return reason === null && (await isIdle(id));
    });
    for (const _ of [1, 2, 3]) {
      await ask('POST', id, '/stop');
      await ask('POST', id, '/start');
    }
    await within(t, 'idle since it was stopped and started', async () => {
      const { reason } = await scene.read(id);
      return reason === null && (await isIdle(id)) && connectionsOf(user) === 1;
    });
  });

  test('a reset begins a new session, and a sync has it look at once', async (t) => {
    const user = 'looked-at@example.com';
    const id = await scene.addSource(user);
    await scene.untilState(id, 'idle');
    const [before] = dovecot.connections(user);
    await ask('POST', id, '/reset');
    await within(t, 'another session since the reset', async () => {
      const [now, ...more] = dovecot.connections(user);
      return now !== undefined && now.session !== before?.session && more.length === 0 && (await isIdle(id));
    });
    await dovecot.deliver(user, mailTo(user, 'in the junk'), { folder: 'Junk' });
    await ask('POST', id, '/sync', {});
    await within(t, 'read from another folder since the sync', async () => {
      return (await scene.sql`SELECT FROM messages WHERE subject = 'in the junk'`).length === 1;
    });
  });
});
