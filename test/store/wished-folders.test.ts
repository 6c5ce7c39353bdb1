import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import postgres from 'postgres';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import { findOpenGaps, requestBackfill } from '../../src/store/gap-filling.ts';
import { spreadGap } from '../../src/store/imap-folders.ts';
import { claimImapSources } from '../../src/store/imap-leases.ts';
import { resetImapSource } from '../../src/store/imap-sources.ts';
import { createHolder } from '../../src/store/source-leases.ts';
import { createTestDatabase } from '../support/database.ts';
import { addImapSource } from '../support/imap-source.ts';

const database = await createTestDatabase();
after(() => database.drop());
const sql = postgres(database.url, { max: 2, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));

async function addFolders(id: Id<'src'>, folders: Record<string, string | null>): Promise<void> {
  for (const [path, role] of Object.entries(folders)) {
    await sql`
      INSERT INTO imap_folders (source_id, path, role, uid_validity, uid) VALUES (${uuidOf(id)}, ${path}, ${role}, 1, 10)`;
  }
}

const FOLDERS = { INBOX: '\\Inbox', Spam: '\\Junk', Private: null, Support: null };
/** `Private` was taken from it. */
const settings = { folders: [{ path: 'inbox' }, { role: 'junk' }, { path: 'Support' }] };
const WISHED = ['INBOX', 'Spam', 'Support'];

async function gapFolders(id: Id<'src'>): Promise<(string | null)[]> {
  return (await findOpenGaps(sql, id)).map(({ folder }) => folder).sort();
}

describe('a folder that was taken from its source', () => {
  test('is not read again by a reset', async () => {
    const { id } = await addImapSource(sql, { account: null, settings });
    await addFolders(id, FOLDERS);
    await resetImapSource(sql, id);
    assert.deepEqual(await gapFolders(id), WISHED);
  });

  test('is not read by a wish for old mail', async () => {
    const { id } = await addImapSource(sql, { account: null, settings });
    await addFolders(id, FOLDERS);
    await requestBackfill(sql, id, new Date(Date.now() - 3_600_000));
    const { claimed } = await claimImapSources(sql, {
      holder: createHolder(),
      limit: 9,
      budgets: {},
      only: id,
    });
    const [gap] = await findOpenGaps(sql, id);
    assert.ok(claimed[0] && gap);
    await spreadGap(sql, claimed[0].lease, gap.id);
    assert.deepEqual(await gapFolders(id), WISHED);
  });

  test('is not read on, though it was begun; given back it is', async () => {
    const { id } = await addImapSource(sql, { account: null });
    await addFolders(id, FOLDERS);
    await resetImapSource(sql, id);
    const choose = (chosen: object) =>
      sql`UPDATE sources SET settings = ${JSON.stringify(chosen)}::text::jsonb WHERE id = ${uuidOf(id)}`;
    await choose(settings);
    assert.deepEqual(await gapFolders(id), WISHED);
    await choose({});
    assert.deepEqual(await gapFolders(id), Object.keys(FOLDERS).sort());
  });

  test('and without a choice of the owner’s all are', async () => {
    const { id } = await addImapSource(sql, { account: null });
    await addFolders(id, FOLDERS);
    await resetImapSource(sql, id);
    assert.deepEqual(await gapFolders(id), Object.keys(FOLDERS).sort());
  });
});
