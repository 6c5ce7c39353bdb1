import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Id } from '../../src/core/ids.ts';
import { createKeyring } from '../../src/core/sealed.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createEndpoint, rotateEndpointSecret } from '../../src/store/endpoints.ts';
import { createMailbox } from '../../src/store/mailboxes.ts';
import { openSecrets, resealSecrets, type SealedSecrets } from '../../src/store/secrets.ts';
import { createSource, findIngressSource, rotateSourceSecret } from '../../src/store/sources.ts';
import { createTestDatabase } from '../support/database.ts';

const oldKey = 'old-key-of-at-least-thirty-two-characters';
const newKey = 'new-key-of-at-least-thirty-two-characters';

test('secrets are stored sealed, and move to a new key while the old one is still known', async () => {
  const { url, drop } = await createTestDatabase();
  const database = openDatabase(url);
  const db = database.sql;
  const before = createKeyring([oldKey]);
  const mailbox = await createMailbox(db, { tenant: 'default', address: 'a@example.com' });
  const created = await createSource(db, before, { mailboxId: mailbox.id as Id<'mbx'>, kind: 'raw' });
  assert.ok(created);
  const id = created.source.id as Id<'src'>;
  const rotated = await rotateSourceSecret(db, before, id);
  assert.ok(rotated);
  const { endpoint, secret } = await createEndpoint(db, before, {
    url: 'https://example.com/',
    tenant: null,
    description: '',
    types: ['message.received'],
    rules: {},
    order: null,
    maxInFlight: 1,
    ratePerSecond: null,
    headers: { 'x-api-key': 'of the consumer' },
  });
  const endpointId = endpoint.id as Id<'ep'>;
  const secrets = [secret];
  for (const _ of [1, 2]) {
    secrets.unshift((await rotateEndpointSecret(db, before, endpointId))?.secret ?? '');
  }
  const [dump] = await database.hot`SELECT encode(secret, 'escape') AS secret FROM sources`;
  assert.equal(dump?.secret.includes(rotated.secret.slice(6)), false);

  assert.equal(await resealSecrets(db, createKeyring([newKey, oldKey])), 4);
  assert.equal(await resealSecrets(db, createKeyring([newKey, oldKey])), 0);
  const source = await findIngressSource(db, createKeyring([newKey]), id);
  assert.deepEqual(source?.secrets, [rotated.secret, created.secret]);
  const [row] = await db<[SealedSecrets]>`
    SELECT secret, previous_secret AS "previousSecret", previous_secret_until AS "previousSecretUntil",
           older_secrets AS "olderSecrets" FROM endpoints`;
  assert.deepEqual(openSecrets(createKeyring([newKey]), endpointId, row), secrets);

  await database.hot`UPDATE sources SET previous_secret_until = now() - interval '1 second'`;
  assert.deepEqual((await findIngressSource(db, createKeyring([newKey]), id))?.secrets, [rotated.secret]);
  await database.close();
  await drop();
});
