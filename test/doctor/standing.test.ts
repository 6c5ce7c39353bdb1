import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import { version } from '../../src/version.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { addImapSource } from '../support/imap-source.ts';
import { addSource, batch, gmailItem, mailOf } from '../support/service.ts';
import { assertLine, type DoctorStage, failing, startDoctorStage } from './stage.ts';

/* What stands in the database and a person has to see to. One run looks at all of it, before and after it was broken. */

let stage: DoctorStage;
before(async () => {
  stage = await startDoctorStage();
});
after(() => stage[Symbol.asyncDispose]());

const script = (over: object = {}) => ({ script: { version, account: 'me@example.com', ...over } });

/** A source whose script has said `extra`. */
async function addScript(address: string, extra: Record<string, unknown>): Promise<Id<'src'>> {
  const source = await addSource(stage.service, 'apps-script', address);
  const pushed = await stage.service.push(source, batch([], extra));
  assert.equal(pushed.status, 200);
  await waitUntil('its sign of life is kept', async () => {
    const { body } = await stage.service.api('GET', `/v1/sources/${source.id}`);
    return body.lastProvenAliveAt !== null;
  });
  // As the API gives it.
  return source.id as Id<'src'>;
}

test('scripts: well, silent for a day, of another version, paused, never heard of, stopped', async () => {
  const { service, sql } = stage;
  const well = await addScript('well@example.com', script());
  const silent = await addScript('silent@example.com', script());
  const old = await addScript('old@example.com', script({ version: '0.0.1' }));
  const paused = await addScript('paused@example.com', { ...script(), paused: true });
  const never = (await addSource(service, 'apps-script', 'never@example.com')).id;
  const stopped = (await addSource(service, 'apps-script', 'stopped@example.com')).id;
  await service.api('POST', `/v1/sources/${stopped}/stop`);
  await sql`UPDATE sources SET last_proven_alive_at = now() - interval '26 hours', wanted_at = now() - interval '9 days'
            WHERE id IN (${uuidOf(silent)}, ${uuidOf(paused)})`;
  const examined = await stage.examine();
  assertLine(
    examined,
    `apps-script.${well}`,
    'ok',
    new RegExp(`^heard of \\d+ \\w+ ago, version ${version}$`),
  );
  assertLine(
    examined,
    `apps-script.${silent}`,
    'fail',
    /silent: last heard of 26 h ago/,
    /executions in Apps Script/,
  );
  assertLine(examined, `apps-script.${old}`, 'warn', /version 0\.0\.1, and .* is here/, /source script src_/);
  assertLine(examined, `apps-script.${paused}`, 'warn', /paused/, /resume/);
  assertLine(examined, `apps-script.${never}`, 'warn', /nothing has come yet/, /install the script/);
  assertLine(examined, `apps-script.${stopped}`, 'ok', /stopped/);
  // They post to a URL that no script reaches.
  assertLine(examined, 'public-url.reach', 'warn', /this machine alone/, /MAILGRESS_PUBLIC_URL/);
  assert.deepEqual([failing(examined), examined.code], [[`apps-script.${silent}`], 1]);

  const one = await stage.examine({ only: old });
  assert.deepEqual(
    one.report.checks.map(({ id }) => id),
    ['database.reach', 'database.rights', 'database.schema', `apps-script.${old}`],
  );
  await sql`DELETE FROM sources`;
});

test('keys older than a year or never used are warnings, and count as no failure', async () => {
  const { service, sql } = stage;
  const make = async () => (await service.api('POST', '/v1/keys', { role: 'reader' })).body;
  const [old, unused, used] = [await make(), await make(), await make()];
  const fresh = await stage.examine();
  assertLine(fresh, 'keys.age', 'ok', /^3, none older than a year/);
  assertLine(fresh, 'keys.use', 'ok', /are new/);
  await sql`UPDATE api_keys SET created_at = now() - interval '366 days', last_used_at = now() WHERE id = ${uuidOf(old.id)}`;
  await sql`UPDATE api_keys SET created_at = now() - interval '8 days' WHERE id = ${uuidOf(unused.id)}`;
  await sql`UPDATE api_keys SET created_at = now() - interval '8 days', last_used_at = now() WHERE id = ${uuidOf(used.id)}`;
  const examined = await stage.examine();
  assertLine(examined, 'keys.age', 'warn', new RegExp(`^1 older than a year: ${old.id}$`), /key revoke/);
  assertLine(examined, 'keys.use', 'warn', new RegExp(`^1 never used: ${unused.id}$`), /key revoke/);
  assert.deepEqual([examined.code, examined.report.warnings], [0, 2]);
  for (const { key } of [old, unused, used]) assert.ok(!examined.text.includes(key));
});

test('what could not be stored or delivered, and gaps that stay open, are told with where to look', async () => {
  const { service, sql } = stage;
  const source = await addSource(service);
  // Nobody listens there; what is given up after days is given up here by hand.
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: 'http://127.0.0.1:9/' });
  const mail = gmailItem('bad1', mailOf('Mail'));
  const gap = { from: '1', reason: 'history_expired', recoveredBy: null };
  await service.push(source, batch([mail, null], { cursor: { from: '1', to: '5' }, gap }));
  const young = await stage.examine();
  assertLine(young, 'mail.gaps', 'ok', /none is open for more than a day/);
  assertLine(young, 'mail.stubs', 'warn', /^1 could not be stored/, new RegExp(`${source.id}/stubs`));
  assertLine(young, 'mail.deliveries', 'ok', /nothing was given up/);

  await sql`UPDATE gaps SET opened_at = now() - interval '25 hours'`;
  await sql`UPDATE deliveries SET status = 'failed', completed_at = now(), lease_owner = NULL`;
  const examined = await stage.examine();
  assertLine(
    examined,
    'mail.gaps',
    'warn',
    /^1 open for more than a day/,
    new RegExp(`gaps\\?source=${source.id}`),
  );
  assertLine(
    examined,
    'mail.deliveries',
    'warn',
    /^1 given up in 7 days/,
    new RegExp(`${endpoint.id}/retry`),
  );
  await service.api('DELETE', `/v1/endpoints/${endpoint.id}`);
  await sql`DELETE FROM sources`;
});

test('a webhook that nobody sends is a failure', async () => {
  const idle = await startDoctorStage({ dispatch: false });
  try {
    const { sql, service } = idle;
    const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: `${service.address}/` });
    await service.api('POST', `/v1/endpoints/${endpoint.id}/test`);
    const soon = await idle.examine();
    assertLine(soon, 'mail.dispatch', 'ok', /^1 wait, none overdue/);
    await sql`UPDATE deliveries SET next_attempt_at = now() - interval '10 minutes'`;
    const examined = await idle.examine();
    assertLine(examined, 'mail.dispatch', 'fail', /due for 10 min, of 1 that wait/, /mailgress serve/);
    assert.equal(examined.code, 1);
  } finally {
    await idle[Symbol.asyncDispose]();
  }
});

test('imap sources that no worker reads are a failure, whatever their servers say', async () => {
  const { sql } = stage;
  const { id } = await addImapSource(sql, {
    account: 'me@example.com',
    settings: { host: '127.0.0.1', port: 1 },
  });
  const examined = await stage.examine();
  assertLine(examined, 'imap.workers', 'fail', /none is alive/, /mailgress worker/);
  assertLine(examined, `imap.${id}`, 'fail', /no credentials/, /connect it again/);
  await sql`INSERT INTO workers (holder, capacity, held) VALUES (${createId('run').slice(4, 20)}, 10, 0)`;
  assertLine(await stage.examine(), 'imap.workers', 'ok', /one is alive/);
  await sql`DELETE FROM sources`;
});
