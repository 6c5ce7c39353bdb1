import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createId, type Id, uuidOf } from '../../src/core/ids.ts';
import { normalize } from '../../src/core/normalize.ts';
import { toRawMail } from '../../src/sources/raw.ts';
import { createMailCommit } from '../../src/store/commit-mails.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { createMailRow, type MailRow, renameMailRow } from '../../src/store/mail-row.ts';
import { createMailbox, deleteMailbox } from '../../src/store/mailboxes.ts';
import { createTestDatabase } from '../support/database.ts';

let database: Database;
let drop: () => Promise<void>;
let mailboxId: Id<'mbx'>;
before(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = openDatabase(created.url);
  mailboxId = (await newMailbox()) as Id<'mbx'>;
});
after(async () => {
  await database.close();
  await drop();
});

let mailboxes = 0;
async function newMailbox(): Promise<string> {
  return (await createMailbox(database.sql, { tenant: 'default', address: `m${++mailboxes}@example.com` }))
    .id;
}

const { content } = await normalize(toRawMail(Buffer.from('Subject: Hello\r\n\r\nNULL\r\n')), new Date());
const CONTENT = {
  ...content,
  address: 'm@example.com',
  source: { id: createId('src'), kind: 'raw' as const },
};

let keys = 0;
type Change = {
  mailboxId?: Id<'mbx'>;
  dedupeKey?: string;
  isTruncated?: boolean;
  subject?: string;
  bytes?: Uint8Array;
};

function mail(change: Change = {}): MailRow {
  const messageId = createId('msg');
  const boxId = change.mailboxId ?? mailboxId;
  return createMailRow({
    mailboxId: boxId,
    messageId,
    message: {
      ...CONTENT,
      id: messageId,
      tenant: 'default',
      mailboxId: boxId,
      subject: change.subject ?? SUBJECT,
      truncated: change.isTruncated ?? false,
    },
    dedupeKey: Buffer.from(change.dedupeKey ?? (++keys).toString(16).padStart(32, '0'), 'hex'),
    fullText: null,
    fullHtml: 'NULL',
    raw: { bytes: change.bytes ?? BYTES, isCompressed: false },
  });
}

const SUBJECT = 'Hello "quoted" \\back\\slash, {brace}';
const BYTES = Uint8Array.from([0, 1, 92, 34, 255]);

const open = (onDeliveries = () => {}) => createMailCommit(database.hot, { onDeliveries });

test('stores message, raw bytes, event and ledger in one, as they were given', async () => {
  const given = mail();
  assert.deepEqual(await open().submit(given), { status: 'accepted', messageId: given.messageId });
  const uuid = uuidOf(given.messageId);
  const [row] = await database.hot`
    SELECT m.subject, m.full_text AS "fullText", m.full_html AS "fullHtml", m.document::text AS document, r.bytes,
           e.type, l.key::text AS key
    FROM messages m JOIN raw_mails r ON r.message_id = m.id JOIN events e ON e.id = m.id
    JOIN dedupe_ledger l ON l.message_id = m.id
    WHERE m.id = ${uuid}`;
  assert.deepEqual(
    { ...row, bytes: [...(row?.bytes ?? [])] },
    {
      subject: SUBJECT,
      fullText: null,
      fullHtml: 'NULL',
      document: JSON.stringify(JSON.parse(given.json).document),
      bytes: [...BYTES],
      type: 'message.received',
      key: given.dedupeKey.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    },
  );
});

test('answers a duplicate with the id it is stored under, in the same group and later', async () => {
  const first = mail();
  const twin = mail({ dedupeKey: first.dedupeKey });
  const commit = open();
  const [a, b] = await Promise.all([commit.submit(first), commit.submit(twin)]);
  assert.deepEqual(a, { status: 'accepted', messageId: first.messageId });
  assert.deepEqual(b, { status: 'duplicate', messageId: first.messageId });
  const late = await commit.submit(mail({ dedupeKey: first.dedupeKey }));
  assert.deepEqual(late, { status: 'duplicate', messageId: first.messageId });
});

test('one key in two mailboxes is two messages', async () => {
  const first = mail();
  const other = mail({ dedupeKey: first.dedupeKey, mailboxId: (await newMailbox()) as Id<'mbx'> });
  const outcomes = await Promise.all([open().submit(first), open().submit(other)]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['accepted', 'accepted'],
  );
});

test('many processes with the same mails in any order: each is accepted once, and no one deadlocks', async () => {
  const mails = Array.from({ length: 60 }, () => mail());
  const copies = Array.from({ length: 6 }, (_, at) => {
    const commit = open();
    const order = at % 2 === 0 ? mails : mails.toReversed();
    return order.map((one) => commit.submit(renameMailRow(one, createId('msg'))));
  });
  const outcomes = await Promise.all(copies.flat());
  assert.equal(outcomes.filter(({ status }) => status === 'accepted').length, mails.length);
  assert.equal(outcomes.filter(({ status }) => status === 'duplicate').length, mails.length * 5);
});

test('completes a truncated message in place when the whole one comes, with no second event', async () => {
  const head = mail({ isTruncated: true });
  const whole = mail({
    dedupeKey: head.dedupeKey,
    subject: 'Whole',
    bytes: Buffer.from('whole'),
  });
  const commit = open();
  await commit.submit(head);
  assert.deepEqual(await commit.submit(whole), { status: 'duplicate', messageId: head.messageId });
  const [row] = await database.hot`
    SELECT subject, is_truncated AS "isTruncated", document->>'id' AS id, convert_from(bytes, 'utf8') AS raw
    FROM messages JOIN raw_mails ON message_id = id WHERE id = ${uuidOf(head.messageId)}`;
  assert.deepEqual({ ...row }, { subject: 'Whole', isTruncated: false, id: head.messageId, raw: 'whole' });
  const [events] =
    await database.hot`SELECT count(*)::int AS n FROM events WHERE id = ${uuidOf(whole.messageId)}`;
  assert.equal(events?.n, 0);
});

test('a truncated copy changes nothing of a whole message', async () => {
  const whole = mail();
  const commit = open();
  await commit.submit(whole);
  await commit.submit(mail({ dedupeKey: whole.dedupeKey, isTruncated: true, subject: 'Cut' }));
  const [row] = await database.hot`SELECT subject FROM messages WHERE id = ${uuidOf(whole.messageId)}`;
  assert.equal(row?.subject, SUBJECT);
});

test('of a cut and a whole copy in one group the whole one is stored', async () => {
  const cut = mail({ isTruncated: true });
  const whole = mail({ dedupeKey: cut.dedupeKey });
  const commit = open();
  const [a, b] = await Promise.all([commit.submit(cut), commit.submit(whole)]);
  assert.deepEqual(b, { status: 'accepted', messageId: whole.messageId });
  assert.deepEqual(a, { status: 'duplicate', messageId: whole.messageId });
});

test('a row that the database refuses fails alone', async () => {
  const commit = open();
  const rows = [mail(), mail({ subject: 'nul \0 here' }), mail()];
  const settled = await Promise.allSettled(rows.map((one) => commit.submit(one)));
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
});

test('stores nothing for a mailbox that was deleted, and deleting takes all of it along', async () => {
  const doomed = (await newMailbox()) as Id<'mbx'>;
  const commit = open();
  const stored = mail({ mailboxId: doomed });
  await commit.submit(stored);
  assert.equal(await deleteMailbox(database.sql, doomed), true);
  assert.deepEqual(await commit.submit(mail({ mailboxId: doomed })), { status: 'mailbox_gone' });
  const uuid = uuidOf(stored.messageId);
  const [left] = await database.hot`
    SELECT (SELECT count(*) FROM messages WHERE id = ${uuid}) + (SELECT count(*) FROM raw_mails WHERE message_id = ${uuid})
         + (SELECT count(*) FROM events WHERE id = ${uuid}) + (SELECT count(*) FROM deliveries WHERE event_id = ${uuid})
         + (SELECT count(*) FROM dedupe_ledger WHERE mailbox_id = ${uuidOf(doomed)}) AS n`;
  assert.equal(Number(left?.n), 0);
});

test('a mailbox deleted while its mail comes in leaves nothing behind', async () => {
  for (let round = 0; round < 5; round++) {
    const doomed = (await newMailbox()) as Id<'mbx'>;
    const commit = open();
    const submits = Array.from({ length: 200 }, () => commit.submit(mail({ mailboxId: doomed })));
    await Promise.all([submits[0], deleteMailbox(database.sql, doomed)]);
    await Promise.all(submits);
    const [left] = await database.hot`
      SELECT (SELECT count(*) FROM messages WHERE mailbox_id = ${uuidOf(doomed)})
           + (SELECT count(*) FROM events WHERE mailbox_id = ${uuidOf(doomed)})
           + (SELECT count(*) FROM dedupe_ledger WHERE mailbox_id = ${uuidOf(doomed)}) AS n`;
    assert.equal(Number(left?.n), 0);
  }
});
