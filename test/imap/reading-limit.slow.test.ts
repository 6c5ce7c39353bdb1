import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { openConnection } from '../../src/sources/imap/connection.ts';
import { listMailsBehind } from '../../src/sources/imap/listing.ts';
import { searchFirst } from '../../src/sources/imap/search-uids.ts';
import { gapsOf, stop, untilRead, untilRecovered } from './reading.ts';
import { accountOf, imapDate, type ScriptedAccount, startScriptedAccount } from './scripted-account.ts';
import { mailTo, startStage } from './stage.ts';

/*
 * A server that looks at some mails a command alone, the highest ones (MESSAGELIMIT, RFC 9738), as Yahoo's does.
 */

const LIMIT = 200;
const MAILS = 700;
const DAY_MS = 24 * 3_600_000;
const CAPABILITY = 'IMAP4rev1 ID ENABLE IDLE UIDPLUS SPECIAL-USE AUTH=PLAIN SASL-IR';

type Variant = { name: string; isAdvertised: boolean; isSaid: boolean };

const VARIANTS: readonly Variant[] = [
  { name: 'that advertises it and says it with each answer', isAdvertised: true, isSaid: true },
  { name: 'that advertises it, and cuts answers in silence', isAdvertised: true, isSaid: false },
  { name: 'that says it with its answers alone', isAdvertised: false, isSaid: true },
];

function startLimited({ isAdvertised, isSaid }: Variant): Promise<ScriptedAccount> {
  return startScriptedAccount({
    folders: { INBOX: '' },
    capability: isAdvertised ? `${CAPABILITY} MESSAGELIMIT=${LIMIT}` : CAPABILITY,
    messageLimit: { count: LIMIT, isSaid },
  });
}

async function connectTo({ server: { port } }: ScriptedAccount) {
  const resolve = async (address: string) => [{ address }];
  const connection = await openConnection(
    { host: '127.0.0.1', port, security: 'none', advice: '', auth: { user: 'u', pass: 'p' } },
    { resolve, resolveInClear: resolve, version: '1', maxMailBytes: 1_000_000 },
    AbortSignal.timeout(60_000),
  );
  await connection.run((client) => client.mailboxOpen('INBOX', { readOnly: true }));
  return connection;
}

describe('a server', () => {
  for (const variant of VARIANTS) {
    test(`${variant.name} lists all mails behind a UID, also such as are far apart`, async () => {
      await using account = await startLimited(variant);
      const { mailbox } = account.folder('INBOX');
      const raw = mailTo('a@example.com', 'listed');
      const uids = [
        ...Array.from({ length: MAILS }, (_, at) => 5 + at),
        ...Array.from({ length: 3 }, (_, at) => 2_000 + 300 * at),
        ...Array.from({ length: MAILS }, (_, at) => 9_000 + at),
      ];
      for (const uid of uids) mailbox.add({ raw, uid });
      const connection = await connectTo(account);
      try {
        for (const expected of [undefined, 300]) {
          const listed: number[] = [];
          for (let hasMore = true; hasMore; ) {
            const page = await listMailsBehind(connection, listed.at(-1) ?? 0, expected, 'scope');
            listed.push(...page.mails.map(({ uid }) => uid));
            hasMore = page.hasMore;
          }
          assert.deepEqual(listed, uids, `${expected} are expected`);
        }
      } finally {
        connection.close();
      }
    });

    test(`${variant.name} finds the first mails of a day, behind many older ones`, async () => {
      await using account = await startLimited(variant);
      const { mailbox } = account.folder('INBOX');
      const raw = mailTo('a@example.com', 'found');
      const now = Date.now();
      for (let at = 0; at < 4 * LIMIT; at++) {
        const isYoung = at >= 2 * LIMIT + 50 && at < 3 * LIMIT;
        mailbox.add({ raw, internalDate: imapDate(new Date(now - (isYoung ? 0 : 9 * DAY_MS))) });
      }
      const connection = await connectTo(account);
      try {
        const found: number[] = [];
        const since = new Date(now - DAY_MS);
        for (let at = 0; at < 4 * LIMIT; ) {
          const { uids, to } = await searchFirst(connection, at, { end: 4 * LIMIT, since });
          found.push(...uids);
          assert.ok(to > at);
          at = to;
        }
        assert.deepEqual(
          found,
          Array.from({ length: LIMIT - 50 }, (_, at) => 2 * LIMIT + 51 + at),
        );
      } finally {
        connection.close();
      }
    });
  }

  test('without a limit is asked once for the mails behind a UID', async () => {
    await using account = await startScriptedAccount({ folders: { INBOX: '' } });
    const { mailbox } = account.folder('INBOX');
    for (let at = 0; at < MAILS; at++)
      mailbox.add({ raw: mailTo('a@example.com', 'asked'), uid: 1 + 9999 * at });
    const connection = await connectTo(account);
    try {
      const before = account.server.commands.length;
      const first = await listMailsBehind(connection, 0, MAILS, 'scope');
      assert.deepEqual([first.mails.length, first.hasMore], [500, true]);
      const second = await listMailsBehind(connection, first.mails.at(-1)?.uid ?? 0, undefined, 'scope');
      assert.deepEqual([second.mails.length, second.hasMore], [200, false]);
      const commands = account.server.commands
        .slice(before)
        .map((one) => one.split(' ').slice(1, 3).join(' '));
      const listing = ['UID SEARCH', 'UID FETCH', 'STATUS INBOX'];
      assert.deepEqual(commands, [...listing, ...listing]);
    } finally {
      connection.close();
    }
  });
});

describe('none of the mails of such a server is lost', async () => {
  const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
  after(() => stage[Symbol.asyncDispose]());

  for (const [at, variant] of VARIANTS.entries())
    test(`of one ${variant.name}: that came while nobody looked, and that came at once`, async () => {
      await using account = await startLimited(variant);
      const address = `limited-${at}@example.com`;
      const { status, body } = await stage.addSource(address, accountOf(account, address));
      assert.equal(status, 201, JSON.stringify(body));
      await stage.waitForState(body.id, 'idle');
      await stop(stage, body.id);
      const named = (what: string, count: number) =>
        Array.from({ length: count }, (_, number) => `${what} ${number} ${at}`);
      const away = named('away', MAILS);
      for (const subject of away) account.folder('INBOX').add({ raw: mailTo(address, subject) });
      await stage.service.api('POST', `/v1/sources/${body.id}/start`);
      await stage.waitForSubjects(away, 60_000);
      await untilRead(stage, body.id, MAILS);
      await stage.waitForState(body.id, 'idle');
      const burst = named('burst', LIMIT + 100);
      for (const subject of burst.slice(1)) account.folder('INBOX').add({ raw: mailTo(address, subject) });
      account.arrive('INBOX', { raw: mailTo(address, burst[0]) });
      await stage.waitForSubjects(burst, 60_000);
      assert.deepEqual(
        (await gapsOf(stage, body.id)).filter(({ reason }) => reason !== 'requested'),
        [],
      );
    });

  test('of the time that a source was made with', async () => {
    await using account = await startLimited({ name: '', isAdvertised: true, isSaid: true });
    const address = 'limited-since@example.com';
    const subjects = Array.from({ length: MAILS }, (_, number) => `old ${number}`);
    const internalDate = imapDate(new Date(Date.now() - DAY_MS / 2));
    for (const subject of subjects)
      account.folder('INBOX').add({ raw: mailTo(address, subject), internalDate });
    const since = new Date(Date.now() - DAY_MS).toISOString();
    const { status, body } = await stage.addSource(address, { ...accountOf(account, address), since });
    assert.equal(status, 201, JSON.stringify(body));
    await stage.waitForSubjects(subjects, 60_000);
    await untilRecovered(stage, body.id, 1);
  });
});
