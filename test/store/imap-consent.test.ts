import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import postgres from 'postgres';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import type { ImapCredentials } from '../../src/core/imap-settings.ts';
import { createKeyring } from '../../src/core/sealed.ts';
import { type ClaimedImapSource, claimImapSources, endSession } from '../../src/store/imap-leases.ts';
import { replaceRefreshToken } from '../../src/store/imap-sources.ts';
import { sealCredentials } from '../../src/store/secrets.ts';
import { createHolder } from '../../src/store/source-leases.ts';
import { createTestDatabase } from '../support/database.ts';
import { addImapSource } from '../support/imap-source.ts';
import { SECRET_KEY } from '../support/service.ts';

const database = await createTestDatabase();
after(() => database.drop());
const sql = postgres(database.url, { max: 2, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));
beforeEach(async () => {
  await sql`DELETE FROM events`;
  await sql`DELETE FROM sources`;
});

const keyring = createKeyring([SECRET_KEY]);
const consent = (refreshToken: string): ImapCredentials => ({
  type: 'oauth',
  user: 'me@example.com',
  provider: 'google',
  refreshToken,
});

/** A source whose session begins with the token R2. */
async function claim(): Promise<{ id: Id<'src'>; held: ClaimedImapSource; sealed: Uint8Array }> {
  const { id } = await addImapSource(sql, { account: 'me@example.com' });
  const sealed = sealCredentials(keyring, id, consent('R2'));
  await sql`UPDATE sources SET credentials = ${sealed} WHERE id = ${uuidOf(id)}`;
  const { claimed } = await claimImapSources(sql, { holder: createHolder(), limit: 9, budgets: {} });
  const [held] = claimed;
  assert.ok(held);
  return { id, held, sealed };
}

const REFUSED = {
  state: 'needs_reauth',
  reason: 'no access token: invalid_grant',
  fault: 'auth',
  failures: 1,
  dueInMs: 0,
  slowForMs: null,
} as const;

async function read(id: Id<'src'>) {
  const [row] = await sql`
    SELECT state, due_at <= now() AS "isDue", due_at < now() + interval '11 seconds' AS "isDueSoon",
           lease_owner IS NOT NULL AS "isHeld" FROM sources WHERE id = ${uuidOf(id)}`;
  return row ?? assert.fail('no such source');
}

const countEvents = async () => (await sql`SELECT FROM events`).length;

describe('a refresh token that is refused', () => {
  test('needs a person, and that is told', async () => {
    const { id, held } = await claim();
    assert.equal(await endSession(sql, held, REFUSED), true);
    assert.equal((await read(id)).state, 'needs_reauth');
    assert.equal(await countEvents(), 1);
  });

  test('as another process had just used it up, is forgotten for the one that came in its place', async () => {
    const { id, held, sealed } = await claim();
    await replaceRefreshToken(sql, keyring, id, sealed, consent('R3'));
    assert.equal(await endSession(sql, held, REFUSED), false);
    const { state, isDue, isDueSoon, isHeld } = await read(id);
    assert.deepEqual([state, isDue, isDueSoon, isHeld], ['backoff', false, true, false]);
    assert.equal(await countEvents(), 0);
  });

  test('as another process is using it up, is tried again once the new one is there', async () => {
    const { id, held, sealed } = await claim();
    await endSession(sql, held, REFUSED);
    await replaceRefreshToken(sql, keyring, id, sealed, consent('R3'));
    const { state, isDue } = await read(id);
    assert.deepEqual([state, isDue], ['error', true]);
  });

  test('by who holds the source no more changes nothing', async () => {
    const { id, held } = await claim();
    await sql`UPDATE sources SET fence = fence + 1, state = 'idle' WHERE id = ${uuidOf(id)}`;
    assert.equal(await endSession(sql, held, REFUSED), false);
    assert.equal((await read(id)).state, 'idle');
  });
});
