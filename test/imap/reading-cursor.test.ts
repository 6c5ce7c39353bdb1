import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { look, openSql, placeIn, stubsOf, untilRead } from './reading.ts';
import { mailTo, serverOf, startStage, until } from './stage.ts';

/*
 * A cursor moves when everything it passes is stored, or has a stub that stands for it.
 */

const dovecot = await startDovecot();
const stage = await startStage({ random: () => 0 });
const sql = openSql(stage);
after(async () => {
  await sql.end();
  await stage[Symbol.asyncDispose]();
  await dovecot.stop();
});

async function watch(user: string): Promise<string> {
  const { status, body } = await stage.addSource(user, serverOf(dovecot, user));
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  return body.id;
}

test('whenever it moves, all that it passes is stored', async () => {
  const user = 'watched@example.com';
  const id = await watch(user);
  await sql.unsafe(`
    CREATE TABLE moves (source_id uuid, uid bigint, stored bigint);
    CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO moves SELECT NEW.source_id, NEW.uid, count(*)
      FROM messages JOIN sources ON sources.mailbox_id = messages.mailbox_id WHERE sources.id = NEW.source_id;
      RETURN NEW;
    END $$;
    CREATE TRIGGER note_move AFTER UPDATE OF uid ON imap_folders FOR EACH ROW
      WHEN (OLD.uid <> NEW.uid) EXECUTE FUNCTION note_move();`);
  const subjects = Array.from({ length: 300 }, (_, at) => `in order ${at}`);
  for (const subject of subjects) await dovecot.drop(user, mailTo(user, subject));
  await stage.waitForSubjects(subjects, 40_000);
  await untilRead(stage, id, 300);
  const moves = await sql<{ uid: number; stored: number }[]>`
    SELECT uid::int AS uid, stored::int AS stored FROM moves WHERE source_id = ${id.slice('src_'.length)} ORDER BY uid`;
  assert.ok(moves.length >= 300 / 64, `${moves.length} moves`);
  assert.deepEqual(
    moves.filter(({ uid, stored }) => stored < uid),
    [],
  );
});

test('it stands still while the database refuses to work, and goes on once it does not', async () => {
  const user = 'standing@example.com';
  const id = await watch(user);
  // A serialization failure: what passes by itself.
  await sql.unsafe(`
    CREATE FUNCTION refuse_to_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      RAISE EXCEPTION 'not now' USING ERRCODE = '40001';
    END $$;
    CREATE TRIGGER refuse_to_move BEFORE UPDATE OF uid ON imap_folders FOR EACH ROW EXECUTE FUNCTION refuse_to_move();`);
  await dovecot.deliver(user, mailTo(user, 'stored before'));
  await stage.waitForSubjects(['stored before']);
  assert.equal((await placeIn(stage, id)).uid, 0);
  const connections = dovecot.connections(user).length;
  await sql`DROP TRIGGER refuse_to_move ON imap_folders`;
  await untilRead(stage, id, 1);
  assert.equal(dovecot.connections(user).length, connections, 'the connection is kept');
  await dovecot.deliver(user, mailTo(user, 'stored after'));
  await stage.waitForSubjects(['stored before', 'stored after']);
});

test('it passes a mail that the database refuses for good, which is kept as failed, with the reason', async () => {
  const user = 'poison@example.com';
  const id = await watch(user);
  await sql`ALTER TABLE messages ADD CONSTRAINT no_poison CHECK (subject <> 'poison')`;
  await dovecot.drop(user, mailTo(user, 'healthy 1'));
  await dovecot.drop(user, mailTo(user, 'poison'));
  await dovecot.drop(user, mailTo(user, 'healthy 3'));
  await stage.waitForSubjects(['healthy 1', 'healthy 3']);
  await untilRead(stage, id, 3);
  const [stub, ...others] = await stubsOf(stage, id);
  assert.equal(others.length, 0);
  assert.equal(stub.status, 'failed');
  assert.match(stub.error, /the database refused it \(23514\)/);
  const { counts, lag } = await stage.readSource(id);
  assert.equal(counts.failed, 1);
  assert.equal(lag, 0);

  await sql`ALTER TABLE messages DROP CONSTRAINT no_poison`;
  // What was given up is tried again when old mail is asked for.
  await look(stage, id, { since: new Date(Date.now() - 3_600_000).toISOString() });
  await stage.waitForSubjects(['healthy 1', 'poison', 'healthy 3']);
  await until(
    async () => (await stage.readSource(id)).counts.failed === 0,
    20_000,
    () => 'the stub is still there',
  );
});
