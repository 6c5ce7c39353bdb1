import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { uuidOf } from '../../src/core/ids.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { startDovecot } from '../support/imap/dovecot.ts';
import { assertLine, type DoctorStage, failing, startDoctorStage } from './stage.ts';

const dovecot = await startDovecot();
after(() => dovecot.stop());
const stranger = await startDovecot({ certificate: 'wrong-name' });
after(() => stranger.stop());

let stage: DoctorStage;
before(async () => {
  stage = await startDoctorStage({
    imap: true,
    imapCa: [dovecot.ca, stranger.ca].join('\n'),
  });
});
after(() => stage[Symbol.asyncDispose]());

/** A source that was verified, and is then read by the service. */
async function add(user: string): Promise<`src_${string}`> {
  const { service } = stage;
  const { body: mailbox } = await service.api('POST', '/v1/mailboxes', { address: `${user}@example.com` });
  const { status, body } = await service.api('POST', `/v1/mailboxes/${mailbox.id}/sources`, {
    kind: 'imap',
    ...{ host: 'localhost', port: dovecot.tlsPort, security: 'tls' },
    auth: { type: 'password', user, password: dovecot.password },
  });
  assert.equal(status, 201, JSON.stringify(body));
  await waitUntil('it is read', async () => {
    const { body: source } = await service.api('GET', `/v1/sources/${body.id}`);
    return source.state === 'idle';
  });
  return body.id;
}

const change = (id: `src_${string}`, settings: object) =>
  stage.sql`UPDATE sources SET settings = settings || ${JSON.stringify(settings)}::text::jsonb WHERE id = ${uuidOf(id)}`;

test('well: the server, how it tells of mail, and the folders; each fault by what it is', async () => {
  const [well, wrongName, noFolder, plain, closed, unknown, password] = [
    await add('well'),
    await add('wrong-name'),
    await add('no-folder'),
    await add('plain'),
    await add('closed'),
    await add('unknown'),
    await add('password'),
  ];
  const before = await stage.examine();
  assert.deepEqual([before.code, failing(before)], [0, []], before.text);
  assertLine(before, 'imap.workers', 'ok', /one is alive/);
  assertLine(
    before,
    `imap.${well}`,
    'ok',
    new RegExp(`^localhost:${dovecot.tlsPort} tells of mail \\(IDLE\\): INBOX`),
  );

  // The worker's sessions go on with what they began with.
  await change(wrongName, { port: stranger.tlsPort });
  await change(noFolder, { folders: [{ path: 'INBOX' }, { path: 'Nowhere' }] });
  await change(plain, { port: dovecot.port });
  await change(closed, { port: 1 });
  await change(unknown, { host: 'nowhere.invalid' });
  await dovecot.setPassword('password', 'Another-password-9');
  const examined = await stage.examine();
  assertLine(examined, `imap.${well}`, 'ok', /tells of mail/);
  assertLine(
    examined,
    `imap.${wrongName}`,
    'fail',
    /certificate is for another name/,
    /name that its certificate/,
  );
  assertLine(
    examined,
    `imap.${noFolder}`,
    'fail',
    /no folder "Nowhere"; it has .*INBOX/,
    /folders that are there/,
  );
  assertLine(examined, `imap.${plain}`, 'fail', /does not speak TLS: 993/, /certificate|TLS/);
  assertLine(examined, `imap.${closed}`, 'fail', /nothing listens there/, /host and port/);
  assertLine(examined, `imap.${unknown}`, 'fail', /nowhere\.invalid.*(DNS|looked up)|no answer within/);
  assertLine(examined, `imap.${password}`, 'fail', /refused the user or the password/, /password/);
  assert.equal(examined.code, 6);
  assert.ok(!examined.text.includes(dovecot.password));
});

test('a source that waits after a wrong password is not logged in to, unless it is the one that was asked for', async () => {
  const { sql } = stage;
  const id = await add('locked');
  await dovecot.setPassword('locked', 'Another-password-9');
  await dovecot.kick('locked');
  await waitUntil('the worker was refused', async () => {
    const [row] = await sql`SELECT fault FROM sources WHERE id = ${uuidOf(id)}`;
    return row?.fault === 'auth';
  });
  const refusals = () => dovecot.authFailures('locked').length;
  const before = refusals();
  const examined = await stage.examine();
  assertLine(
    examined,
    `imap.${id}`,
    'fail',
    /refused the user or the password.*, and is tried again in \d+ min/,
    new RegExp(`doctor --source ${id}`),
  );
  assert.equal(refusals(), before);
  assertLine(await stage.examine({ only: id }), `imap.${id}`, 'fail', /refused the user or the password/);
  await waitUntil('that was a login', () => refusals() === before + 1);

  await sql`UPDATE sources SET state = 'disabled', reason = 'refused three times' WHERE id = ${uuidOf(id)}`;
  assertLine(await stage.examine(), `imap.${id}`, 'fail', /disabled: refused three times/);
  assert.equal(refusals(), before + 1);
});
