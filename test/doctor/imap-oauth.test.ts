import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { waitUntil } from '../support/embedded-place.ts';
import { startDovecot } from '../support/imap/dovecot.ts';
import { startTokenBook } from '../support/imap/token-book.ts';
import { startTokenEndpoint } from '../support/imap/token-endpoint.ts';
import { assertLine, startDoctorStage } from './stage.ts';

const tokens = await startTokenBook();
after(() => tokens[Symbol.asyncDispose]());
const dovecot = await startDovecot({ tokens });
after(() => dovecot.stop());
const endpoint = await startTokenEndpoint(tokens);
after(() => endpoint[Symbol.asyncDispose]());

/** The provider makes each refresh token void for the next one, once it was used. */
async function addRotating(stage: Awaited<ReturnType<typeof startDoctorStage>>, user: string) {
  const { service } = stage;
  endpoint.rotate(user);
  const { body: mailbox } = await service.api('POST', '/v1/mailboxes', { address: user });
  const refreshToken = endpoint.grant(user);
  const { status, body } = await service.api('POST', `/v1/mailboxes/${mailbox.id}/sources`, {
    kind: 'imap',
    ...{ host: dovecot.host, port: dovecot.port, security: 'none' },
    auth: {
      type: 'oauth',
      user,
      provider: 'custom',
      refreshToken,
      tokenUrl: endpoint.url,
      clientId: 'client',
    },
  });
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}

test('a refresh token that comes in the place of the old one is kept, and told nowhere', async () => {
  await using stage = await startDoctorStage();
  const user = 'rotating@example.com';
  const id = await addRotating(stage, user);
  const asked = endpoint.asked(user).length;
  for (let run = 1; run <= 3; run++) {
    const examined = await stage.examine({ only: id });
    assertLine(examined, `imap.${id}`, 'ok', /in clear text tells of mail/);
    assert.equal(endpoint.asked(user).length, asked + run);
    for (const form of endpoint.asked(user)) {
      assert.ok(!examined.text.includes(form.get('refresh_token') ?? '-'));
    }
  }
  assert.equal(endpoint.refused(user), 0);
  // Nobody was asked for: a worker that takes it up in this moment would have the old token.
  assertLine(await stage.examine(), `imap.${id}`, 'warn', /waits for a worker/, /look again/);

  endpoint.revoke(user);
  assertLine(await stage.examine({ only: id }), `imap.${id}`, 'fail', /no access token/, /connect it again/);
});

test('a source by token that a worker reads is left to it', async () => {
  await using stage = await startDoctorStage({ imap: true });
  const user = 'held@example.com';
  const id = await addRotating(stage, user);
  await waitUntil('it is read', async () => {
    const { body } = await stage.service.api('GET', `/v1/sources/${id}`);
    return body.state === 'idle' && body.lastProvenAliveAt !== null;
  });
  const asked = endpoint.asked(user).length;
  for (const what of [{}, { only: id }]) {
    assertLine(await stage.examine(what), `imap.${id}`, 'ok', /a worker reads it \(idle\), proven alive/);
  }
  assert.equal(endpoint.asked(user).length, asked);
});
