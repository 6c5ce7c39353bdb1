import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidOf } from '../../src/core/ids.ts';
import { captureLog } from '../http/captured-log.ts';
import { backendError, tooMany } from '../support/gmail/faults.ts';
import { SECRET_KEY } from '../support/service.ts';
import { addGmailSource, all, storedIds } from './gmail-service.ts';
import { lookAt, makeDue, openService, openWorld, sourceOf, untilFree, untilSource } from './stage.ts';

const [ada, bob] = ['ada@example.com', 'bob@example.com'];
const NEW_KEY = 'another-secret-key-of-at-least-32-characters';
const world = await openWorld({ accounts: [ada, bob] });
const { log, lines } = captureLog();
const { service, sql, restart } = await openService(world, { log });

test('credentials are sealed in the table, and in no answer, event or line of the log', async () => {
  const token = world.refreshToken(ada);
  const { id, mailboxId } = await addGmailSource(service, world, ada);
  await untilFree(sql, id);
  // Errors of the client hold the request with its token.
  world.fail({ name: 'messages.get', account: ada }, backendError());
  await world.deliver(ada, { subject: 'A subject nobody logs' });
  await lookAt(sql, id);
  world.fail({ name: 'history.list', account: ada }, tooMany(60));
  await makeDue(sql, id);
  await untilSource(service, id, 'is slow', ({ state }) => state === 'backoff');
  await world.revoke(ada);
  await sql`UPDATE sources SET slow_until = NULL WHERE id = ${uuidOf(id)}`;
  await makeDue(sql, id);
  await untilSource(service, id, 'waits for a person', ({ state }) => state === 'needs_reauth');
  assert.ok(lines.some(({ msg }) => msg === 'a look at a mailbox failed'));

  const [row] = await sql`SELECT credentials, sources::text AS text FROM sources WHERE id = ${uuidOf(id)}`;
  assert.ok(!Buffer.from(row?.credentials).includes(token));
  assert.ok(!row?.text.includes(token));
  const paths = [`/v1/sources/${id}`, '/v1/sources', `/v1/mailboxes/${mailboxId}`, '/v1/events', '/v1/gaps'];
  const answers = await Promise.all(paths.map(async (path) => (await service.api('GET', path)).body));
  const { body: patched } = await service.api('PATCH', `/v1/sources/${id}`, { settings: {} });
  const told = JSON.stringify([answers, patched, lines]);
  // Google's access tokens, too: those of this world begin so, or are a JWT.
  for (const secret of [token, world.client.secret, 'Bearer ', 'ya29.', 'A subject nobody logs']) {
    assert.ok(!told.includes(secret), `${secret} is told`);
  }
  assert.ok(!('credentials' in patched));
  assert.deepEqual((await all(service, `/v1/sources?mailbox=${mailboxId}`)).length, 1);
});

test('a new key seals credentials again, and then the old one may go', async () => {
  const { id, mailboxId } = await addGmailSource(service, world, bob);
  await untilFree(sql, id);
  const sealed = async () => {
    const [row] = await sql`SELECT credentials FROM sources WHERE id = ${uuidOf(id)}`;
    return Buffer.from(row?.credentials);
  };
  const before = await sealed();
  await restart({ secretKeys: [NEW_KEY, SECRET_KEY] });
  assert.notDeepEqual(await sealed(), before);
  await restart({ secretKeys: [NEW_KEY] });
  const mail = await world.deliver(bob);
  await lookAt(sql, id);
  assert.deepEqual(await storedIds(service, mailboxId), [mail.id]);
});

test('a source whose key is gone says so, and is no other source’s trouble', async () => {
  const [row] = await sql`SELECT id FROM sources WHERE account = ${bob}`;
  const { body } = await service.api('GET', '/v1/sources');
  const source = body.data.find(({ address }: { address: string }) => address === bob);
  // Sealed for another row, as a moved backup would have it.
  await sql`
    UPDATE sources SET credentials = (SELECT credentials FROM sources WHERE account = ${ada}) WHERE id = ${row?.id}`;
  await makeDue(sql, source.id);
  const failed = await untilSource(service, source.id, 'is in error', ({ state }) => state === 'error');
  assert.ok(failed.reason.length > 0);
  assert.equal((await sourceOf(service, source.id)).wanted, true);
});
