import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import { keyOfIdentity } from '../../src/core/dedupe.ts';
import { type Id, uuidOf } from '../../src/core/ids.ts';
import type { PassedMail } from '../../src/core/imap-folder.ts';
import type { StubResult } from '../../src/core/stub.ts';
import { mailPlaceOf, parseMailPlace, placeOf } from '../../src/sources/imap/place.ts';
import { findOpenGaps, keepGapPage } from '../../src/store/gap-filling.ts';
import {
  addFolder,
  findStoredKeys,
  jumpFolder,
  keepFolderPage,
  listFolderCursors,
  noteFolderRead,
  noteFolderStrike,
} from '../../src/store/imap-folders.ts';
import {
  type ClaimedImapSource,
  claimImapSources,
  endSession,
  renewImapLeases,
} from '../../src/store/imap-leases.ts';
import { createHolder } from '../../src/store/source-leases.ts';
import { findDueStubs, settleStubs } from '../../src/store/stub-queue.ts';
import { END, HOLDERS, type Holder, type KINDS, PAGE, PATH, type Place, SINCE } from './imap-race-steps.ts';

/*
 * Several workers at one source, their steps in any order, and leases that are taken from who still works. The server's
 * folder gets new UIDs now and then. What has to hold after each step: under one UIDVALIDITY the cursor goes back by the
 * jump of a standby alone, and each mail that it has passed is stored, has a stub, or is in a stretch that a gap stands for.
 */

/** A mail has a number for ever, and in the folder its UID; a flip gives all of them new ones. */
export class Race {
  readonly sql: Sql;
  readonly source: Id<'src'>;
  readonly mailbox: Id<'mbx'>;
  uidValidity = 1;
  /** Those of the folder, the UID of each being its place here. */
  uids: number[] = [];
  newest = 0;
  /** Where the store had the cursor after the last step. */
  before: Place | undefined;
  /** A standby's jump was kept in this step: it alone may go back. */
  hasWoken = false;
  /** UIDs of every mail under every UIDVALIDITY, to tell what a cursor has passed. */
  readonly history = new Map<number, readonly number[]>([[1, this.uids]]);
  readonly holders: Holder[] = Array.from({ length: HOLDERS }, () => ({
    claimed: undefined,
    cursor: undefined,
    first: undefined,
  }));

  constructor(sql: Sql, { id, mailboxId }: { id: Id<'src'>; mailboxId: Id<'mbx'> }) {
    this.sql = sql;
    this.source = id;
    this.mailbox = mailboxId;
  }

  arrive(count: number): void {
    for (let n = 0; n < count; n++) this.uids.push(++this.newest);
  }

  flip(): void {
    this.uidValidity++;
    this.uids = [...this.uids];
    this.history.set(this.uidValidity, this.uids);
  }

  async take(kind: (typeof KINDS)[number], who: number, size: number): Promise<void> {
    const holder = this.holders[who] ?? assert.fail('no such holder');
    const { claimed } = holder;
    if (kind === 'arrive') this.arrive(size);
    else if (kind === 'flip') this.flip();
    else if (kind === 'claim') await this.claim(holder);
    else if (kind === 'take over') {
      await this.expire();
      await this.claim(holder);
    } else if (kind === 'steal') await this.steal();
    else if (kind === 'expire') await this.expire();
    else if (kind === 'forget') await this.forget();
    else if (claimed === undefined) return;
    else if (kind === 'page') await this.keepPage(holder, claimed, size);
    else if (kind === 'page of before')
      await this.keepPage({ ...holder, cursor: holder.first }, claimed, size);
    else if (kind === 'jump') await this.jump(holder, claimed);
    else if (kind === 'wake') await this.wake(holder, claimed);
    else if (kind === 'add folder') await this.add(holder, claimed);
    else if (kind === 'fetch') await this.fetch(claimed, size);
    else if (kind === 'gap page') await this.listGap(claimed);
    else if (kind === 'renew') await renewImapLeases(this.sql, [claimed.lease]);
    else if (kind === 'note') {
      await noteFolderStrike(this.sql, claimed.lease, PATH);
      await noteFolderRead(this.sql, claimed.lease, { path: PATH, modSeq: '7' });
    } else await endSession(this.sql, claimed, END);
  }

  async claim(holder: Holder): Promise<void> {
    const { claimed } = await claimImapSources(this.sql, { holder: createHolder(), limit: 1, budgets: {} });
    const [one] = claimed;
    if (one === undefined) return;
    holder.claimed = one;
    const [cursor] = await listFolderCursors(this.sql, this.source);
    holder.cursor = cursor;
    holder.first = cursor;
  }

  async expire(): Promise<void> {
    await this.sql`UPDATE sources SET lease_until = now() WHERE id = ${uuidOf(this.source)}`;
  }

  /** By a process that is not of ours and does nothing with it. */
  async steal(): Promise<void> {
    await this.sql`
      UPDATE sources SET fence = fence + 1, lease_owner = ${randomUUID()}, lease_until = now() WHERE id = ${uuidOf(this.source)}`;
  }

  /** A folder whose place is lost; what came since it was last alive is read again, by a gap from its beginning. */
  async forget(): Promise<void> {
    await this.sql`
      WITH forgotten AS (DELETE FROM imap_folders WHERE source_id = ${uuidOf(this.source)})
      UPDATE sources SET fence = fence + 1, lease_owner = NULL, lease_until = NULL WHERE id = ${uuidOf(this.source)}`;
  }

  async add(holder: Holder, { lease }: ClaimedImapSource): Promise<void> {
    const begun = { uidValidity: this.uidValidity, uid: this.uids.length };
    const folder = { path: PATH, role: null, ...begun, since: SINCE };
    if (holder.cursor === undefined && (await addFolder(this.sql, lease, folder))) holder.cursor = begun;
  }

  /** What lies behind where this one believes the cursor is, under the UIDs that it knows. Every second mail is stubbed. */
  async keepPage(holder: Holder, { lease }: ClaimedImapSource, size: number): Promise<void> {
    const { cursor } = holder;
    const uids = cursor && this.history.get(cursor.uidValidity);
    if (cursor === undefined || uids === undefined) return;
    const to = Math.min(cursor.uid + Math.min(size, PAGE), uids.length);
    if (to <= cursor.uid) return;
    const passed: PassedMail[] = [];
    for (let uid = cursor.uid + 1; uid <= to; uid++) {
      const mail = uids[uid - 1] ?? 0;
      if (mail % 2 === 0) await this.store(mail);
      else passed.push(this.passed(cursor.uidValidity, uid, mail));
    }
    const page = { path: PATH, uidValidity: cursor.uidValidity, from: cursor.uid, to, passed };
    if (await keepFolderPage(this.sql, lease, { ...page, modSeq: null }))
      holder.cursor = { ...cursor, uid: to };
  }

  passed(uidValidity: number, uid: number, mail: number): PassedMail {
    const providerId = mailPlaceOf(PATH, uidValidity, uid);
    return { providerId, status: 'pending', error: 'not now', key: keyOf(mail), dueInMs: 0 };
  }

  /** To the end of the folder, as its UIDs are now. */
  async jump(holder: Holder, { lease }: ClaimedImapSource): Promise<void> {
    const { cursor } = holder;
    const to = { uidValidity: this.uidValidity, uid: this.uids.length };
    if (cursor === undefined || (cursor.uidValidity === to.uidValidity && cursor.uid === to.uid)) return;
    const reason = cursor.uidValidity === to.uidValidity ? 'state_lost' : 'uidvalidity_changed';
    if (await this.jumpTo(lease, reason, cursor, to, SINCE)) holder.cursor = to;
  }

  /** Back to before the first mail that is not stored. */
  async wake(holder: Holder, { lease }: ClaimedImapSource): Promise<void> {
    const { cursor } = holder;
    if (cursor === undefined || cursor.uidValidity !== this.uidValidity) return;
    const stored = await this.stored();
    const first = this.uids.findIndex((mail) => !stored.has(mail));
    const to = { uidValidity: cursor.uidValidity, uid: first === -1 ? this.uids.length : first };
    if (!(await this.jumpTo(lease, 'standby', cursor, to, null))) return;
    holder.cursor = to;
    this.hasWoken = true;
  }

  async jumpTo(
    lease: ClaimedImapSource['lease'],
    reason: 'state_lost' | 'uidvalidity_changed' | 'standby',
    from: Place,
    to: Place,
    since: Date | null,
  ): Promise<boolean> {
    const fromPlace = placeOf(PATH, from.uidValidity);
    const toPlace = placeOf(PATH, to.uidValidity);
    const jump = { path: PATH, reason, from, to, since, fromPlace, toPlace };
    return (await jumpFolder(this.sql, lease, jump)).isHeld;
  }

  /** As the folder was opened. What is begun under a lease is kept without one: that a mail is stored is true. */
  async fetch({ lease }: ClaimedImapSource, size: number): Promise<void> {
    const { uidValidity, uids } = this;
    const stubs = await findDueStubs(this.sql, lease, size);
    const [cursor] = await listFolderCursors(this.sql, this.source);
    if (cursor?.uidValidity !== uidValidity) return;
    for (const { id, providerId } of stubs) {
      const place = parseMailPlace(providerId);
      const mail = place?.uidValidity === uidValidity ? uids[place.uid - 1] : undefined;
      if (mail !== undefined) await this.store(mail);
      const result: StubResult =
        mail === undefined ? { id, outcome: 'missing', error: 'new UIDs' } : { id, outcome: 'stored' };
      await settleStubs(this.sql, [result]);
    }
  }

  /** The folder as it is now, up to where this one believes the cursor is, in one page. */
  async listGap({ lease }: ClaimedImapSource): Promise<void> {
    const [gap] = await findOpenGaps(this.sql, this.source);
    const { uidValidity, uids } = this;
    const [cursor] = await listFolderCursors(this.sql, this.source);
    if (gap === undefined || cursor?.uidValidity !== uidValidity) return;
    const stubs = uids.slice(0, cursor.uid).map((mail, at) => ({
      providerId: mailPlaceOf(PATH, uidValidity, at + 1),
      key: keyOf(mail),
    }));
    const page = { stubs, listed: stubs.length, next: null };
    await keepGapPage(this.sql, lease, gap, page, { path: PATH, uidValidity });
  }

  async store(mail: number): Promise<void> {
    await this.sql`
      INSERT INTO dedupe_ledger (mailbox_id, key, message_id)
      VALUES (${uuidOf(this.mailbox)}, ${Buffer.from(keyOf(mail)).toString('hex')}, ${randomUUID()}) ON CONFLICT DO NOTHING`;
  }

  async stored(): Promise<Set<number>> {
    const mails = Array.from({ length: this.newest }, (_, index) => index + 1);
    const found = await findStoredKeys(this.sql, this.mailbox, mails.map(keyOf));
    return new Set(mails.filter((mail) => found.has(Buffer.from(keyOf(mail)).toString('hex'))));
  }

  async check(): Promise<void> {
    const [cursor] = await listFolderCursors(this.sql, this.source);
    const { before, hasWoken } = this;
    this.before = cursor;
    this.hasWoken = false;
    if (cursor === undefined) return;
    if (cursor.uidValidity === before?.uidValidity && !hasWoken) {
      const isJumped = await this.hasOpenGap();
      assert.ok(cursor.uid >= before.uid || isJumped, `back from ${before.uid} to ${cursor.uid}`);
    }
    const stored = await this.stored();
    const stubs = await this.sql<{ id: string }[]>`
      SELECT provider_id AS id FROM stubs WHERE source_id = ${uuidOf(this.source)} AND status = 'pending'`;
    const standing = new Set(stubs.map(({ id }) => id));
    const isInGap = await this.hasOpenGap();
    for (const [at, mail] of (this.history.get(cursor.uidValidity) ?? []).slice(0, cursor.uid).entries()) {
      const isKept = stored.has(mail) || standing.has(mailPlaceOf(PATH, cursor.uidValidity, at + 1));
      assert.ok(isKept || isInGap, `nothing stands for mail ${mail}, UID ${at + 1} of ${cursor.uidValidity}`);
    }
  }

  /** One that begins with the first mail there is and has not been listed stands for all of them. */
  async hasOpenGap(): Promise<boolean> {
    const rows = await this.sql`
      SELECT FROM gaps WHERE source_id = ${uuidOf(this.source)} AND listed_at IS NULL AND recovered_at IS NULL`;
    return rows.length > 0;
  }
}

function keyOf(mail: number): Uint8Array {
  const key = keyOfIdentity({ base: 'emailid', scope: 'imap.example.com/me', id: `M${mail}` });
  return key ?? assert.fail('no key');
}
