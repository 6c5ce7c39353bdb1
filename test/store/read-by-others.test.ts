import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import postgres from 'postgres';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import { findReadByOthers } from '../../src/store/read-by-others.ts';
import { createTestDatabase } from '../support/database.ts';
import { addImapSource, addMailbox } from '../support/imap-source.ts';

const database = await createTestDatabase();
after(() => database.drop());
const sql = postgres(database.url, { max: 2, onnotice: () => {} });
after(() => sql.end({ timeout: 5 }));

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
const PATHS = ['INBOX', 'Private', 'Spam', 'Support'];

async function addFolders(id: Id<'src'>): Promise<void> {
  for (const path of PATHS) {
    await sql`
      INSERT INTO imap_folders (source_id, path, uid_validity, uid) VALUES (${uuidOf(id)}, ${path}, 1, 10)`;
  }
}

describe('what others have read while a standby slept', () => {
  /** A mailbox whose newest mail is ten minutes old, with a standby and another source that was last alive so long ago. */
  async function addPair(other: { kind: string; aliveMinutesAgo: number; folders?: object[] }) {
    const mailboxId = await addMailbox(sql);
    const account = { account: null, mailboxId };
    const standby = await addImapSource(sql, { ...account, settings: { standby: true } });
    const { id } = await addImapSource(sql, {
      ...account,
      settings: other.folders ? { folders: other.folders } : {},
    });
    await addFolders(id);
    await sql`
      UPDATE sources SET kind = ${other.kind}, last_proven_alive_at = ${minutesAgo(other.aliveMinutesAgo)}
      WHERE id = ${uuidOf(id)}`;
    await sql`
      INSERT INTO messages (id, mailbox_id, tenant, placement, received_at, is_truncated, document)
      VALUES (${uuidOf(createId('msg'))}, ${uuidOf(mailboxId)}, 'default', 'inbox', ${minutesAgo(10)}, false, '{}')`;
    const { paths } = await findReadByOthers(sql, mailboxId, standby.id);
    return paths === null ? null : paths.sort();
  }

  test('is all that a script or Gmail reads, and the folders of an imap source', async () => {
    assert.equal(await addPair({ kind: 'apps-script', aliveMinutesAgo: 50 }), null);
    assert.deepEqual(await addPair({ kind: 'imap', aliveMinutesAgo: 5 }), PATHS);
  });

  test('is nothing of one that was dead long before the newest mail came, whoever brought that', async () => {
    assert.deepEqual(await addPair({ kind: 'apps-script', aliveMinutesAgo: 300 }), []);
    assert.deepEqual(await addPair({ kind: 'imap', aliveMinutesAgo: 300 }), []);
  });

  test('is no folder that was taken from it', async () => {
    const folders = [{ path: 'inbox' }, { path: 'Support' }];
    assert.deepEqual(await addPair({ kind: 'imap', aliveMinutesAgo: 5, folders }), ['INBOX', 'Support']);
  });
});
