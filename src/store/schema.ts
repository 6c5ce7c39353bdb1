import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  index,
  integer,
  json,
  jsonb,
  numeric,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/*
 * Tables only. Ids are UUIDv7: they lead with the time, so the append-only tables (messages, raw_mails, events,
 * deliveries, attempts) can be partitioned by ranges of their primary key, and the ledger by mailbox.
 *
 * The append-only tables have no foreign keys. A check per row and a lock on the mailbox per mail would cost more
 * than the insert itself; instead the one statement that writes them locks each mailbox it writes for once
 * (`commit-mails.ts`), which keeps a mailbox from being deleted under it.
 */

/** `prefix_` + 32 hex digits outside (see `core/ids.ts`), a uuid in the table. */
const id = <P extends string>(prefix: P, name: string) =>
  customType<{ data: `${P}_${string}`; driverData: string }>({
    dataType: () => 'uuid',
    toDriver: (value) => value.slice(value.indexOf('_') + 1),
    fromDriver: (value) => `${prefix}_${value.replaceAll('-', '')}`,
  })(name);

const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => 'bytea' });
const tsvector = customType<{ data: string; driverData: string }>({ dataType: () => 'tsvector' });
const xid8 = customType<{ data: string; driverData: string }>({ dataType: () => 'xid8' });
const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });

/** The replay of a delivery that is none. */
export const NO_REPLAY = '00000000-0000-0000-0000-000000000000';

export const mailboxes = pgTable(
  'mailboxes',
  {
    id: id('mbx', 'id').primaryKey(),
    tenant: text('tenant').notNull(),
    address: text('address').notNull(),
    /** Whose Authentication-Results count (authserv-ids), beside those of the providers. */
    authenticationServers: text('authentication_servers').array().notNull().default([]),
    createdAt: at('created_at').notNull().defaultNow(),
  },
  (table) => [uniqueIndex('mailboxes_tenant_address').on(table.tenant, sql`lower(${table.address})`)],
);

export const sources = pgTable(
  'sources',
  {
    id: id('src', 'id').primaryKey(),
    mailboxId: id('mbx', 'mailbox_id')
      .notNull()
      .references(() => mailboxes.id, { onDelete: 'cascade' }),
    kind: text('kind', { enum: ['apps-script', 'gmail', 'imap', 'raw'] }).notNull(),
    isWanted: boolean('is_wanted').notNull().default(true),
    /** Since when; a source that was started again is given time to come back. */
    wantedAt: at('wanted_at').notNull().defaultNow(),
    state: text('state').notNull(),
    reason: text('reason'),
    /** Sealed; what pushes to us are signed with. */
    secret: bytea('secret'),
    previousSecret: bytea('previous_secret'),
    previousSecretUntil: at('previous_secret_until'),
    /** The greatest history id acknowledged (digits); null before the first. */
    cursor: text('cursor'),
    /** What the pushing program last said of itself: version, account, backlog, paused. */
    heartbeat: jsonb('heartbeat').$type<Record<string, unknown>>(),
    /** Whose mailbox the provider says it is, lower case: pushes name it. */
    account: text('account'),
    /** Sealed JSON of `core/credentials.ts`: how the provider is asked. */
    credentials: bytea('credentials'),
    /** JSON of `core/resources.ts`: what the owner chose. */
    settings: jsonb('settings').$type<Record<string, unknown>>().notNull().default({}),
    /** When a push last said that something is new, and the greatest history id that one named. */
    hintedAt: at('hinted_at'),
    hintedHistoryId: numeric('hinted_history_id'),
    /** When a look was begun that found and kept all there was. A later hint makes it due. */
    syncedAt: at('synced_at'),
    /** When it deserves a look: by its time, or since a hint. */
    dueAt: at('due_at').notNull().defaultNow(),
    /** The provider asked for patience until then: neither hint nor due time count before. */
    slowUntil: at('slow_until'),
    /** Looks that failed, one after the other; of kind imap those of the class below. */
    failures: integer('failures').notNull().default(0),
    /** Of kind imap: the class of its last failure (`core/source-retry.ts`). */
    fault: text('fault'),
    /** Of kind imap: how it hears of new mail, `idle` or `poll`; null before it was connected. */
    mode: text('mode', { enum: ['idle', 'poll'] }),
    /** Looks after the last hint that found nothing although the hint is ahead of the cursor: history can lag. */
    lagLooks: integer('lag_looks').notNull().default(0),
    /** What history said is its newest id when nothing was behind the cursor: adopted once it has had time to settle. */
    settlingCursor: text('settling_cursor'),
    settlingAt: at('settling_at'),
    /** When the ids of the last days were last held against what is stored. */
    auditedAt: at('audited_at'),
    /** The right of one process to work on it: whose, until when, and a number that grows with each claim. */
    leaseOwner: uuid('lease_owner'),
    leaseUntil: at('lease_until'),
    fence: bigint('fence', { mode: 'number' }).notNull().default(0),
    lastProvenAliveAt: at('last_proven_alive_at'),
    /** Since when it is not proven alive, as has been told; null while it is. */
    silentAt: at('silent_at'),
    /** Of kind imap: what was told then, and has to be taken back. */
    alarm: text('alarm', { enum: ['silent', 'failing', 'needs_person'] }),
    lastMessageAt: at('last_message_at'),
    createdAt: at('created_at').notNull().defaultNow(),
  },
  (table) => [
    index('sources_mailbox').on(table.mailboxId),
    // A mailbox has one Gmail: two readers of it would be one too many.
    uniqueIndex('sources_one_gmail').on(table.mailboxId).where(sql`${table.kind} = 'gmail'`),
    // What a syncer looks for each second, and after each hint; `claimGmailSources` has the same words.
    index('sources_due_gmail')
      .on(table.dueAt)
      .where(
        sql`${table.kind} = 'gmail' AND ${table.isWanted} AND ${table.state} <> 'needs_reauth' AND ${table.state} <> 'disabled'`,
      ),
    // What a worker looks for each second; `claimImapSources` has the same words.
    index('sources_due_imap')
      .on(table.dueAt)
      .where(
        sql`${table.kind} = 'imap' AND ${table.isWanted} AND ${table.state} <> 'needs_reauth' AND ${table.state} <> 'disabled'`,
      ),
    // What a worker holds, and how many hold how much.
    index('sources_leased_imap')
      .on(table.leaseOwner)
      .where(sql`${table.kind} = 'imap' AND ${table.leaseOwner} IS NOT NULL`),
    index('sources_account').on(table.account).where(sql`${table.account} IS NOT NULL`),
  ],
);

/** Google keeps one watch per user and project: it belongs to the account, not to the source of one tenant. */
export const gmailWatches = pgTable('gmail_watches', {
  account: text('account').primaryKey(),
  /** Null while there is none. */
  expiresAt: at('expires_at'),
  /** When to renew it. Whoever does moves it on first: that is the lease. */
  dueAt: at('due_at').notNull().defaultNow(),
  failures: integer('failures').notNull().default(0),
  error: text('error'),
});

/** How far a folder has been read: everything up to `uid` under this UIDVALIDITY is stored or has a row that stands for it. */
export const imapFolders = pgTable(
  'imap_folders',
  {
    sourceId: id('src', 'source_id')
      .notNull()
      .references(() => sources.id, { onDelete: 'cascade' }),
    path: text('path').notNull(),
    /** Special use (RFC 6154), `\\Junk`; null if there is none. */
    role: text('role'),
    uidValidity: bigint('uid_validity', { mode: 'number' }).notNull(),
    uid: bigint('uid', { mode: 'number' }).notNull(),
    /** HIGHESTMODSEQ (RFC 7162) when it was last read to its end; null where the server has none. */
    modSeq: numeric('mod_seq'),
    /** When it was last known to be read to its end. */
    readAt: at('read_at').notNull().defaultNow(),
    /** SELECTs refused in a row; after a few it is left alone until then. */
    refusals: integer('refusals').notNull().default(0),
    parkedUntil: at('parked_until'),
    error: text('error'),
    /** Connections that ended while the mails behind `uid` were fetched, one after the other: one of them may be why. */
    strikes: integer('strikes').notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.sourceId, table.path] })],
);

/** The processes that hold IMAP sessions, so that they share them. One that is not seen for a while has died. */
export const workers = pgTable('workers', {
  /** The first half of the lease owners it writes. */
  holder: text('holder').primaryKey(),
  capacity: integer('capacity').notNull(),
  held: integer('held').notNull(),
  startedAt: at('started_at').notNull().defaultNow(),
  seenAt: at('seen_at').notNull().defaultNow(),
});

export const messages = pgTable(
  'messages',
  {
    id: id('msg', 'id').primaryKey(),
    mailboxId: id('mbx', 'mailbox_id').notNull(),
    tenant: text('tenant').notNull(),
    placement: text('placement').notNull(),
    fromAddress: text('from_address'),
    subject: text('subject'),
    receivedAt: at('received_at').notNull(),
    isTruncated: boolean('is_truncated').notNull(),
    /** The published message as it goes into the event: kept as text, so that no delivery parses it again. */
    document: json('document').notNull(),
    /** Whole, where the document has it cut; else null. */
    fullText: text('full_text'),
    fullHtml: text('full_html'),
  },
  (table) => [
    index('messages_mailbox').on(table.mailboxId, table.id),
    // The list of a small tenant among large ones; 2 us a mail.
    index('messages_tenant').on(table.tenant, table.id),
  ],
);

export const rawMails = pgTable('raw_mails', {
  messageId: id('msg', 'message_id').primaryKey(),
  /** Zstandard (RFC 8878) or, of a small mail, as it came. PostgreSQL's own compression is set off for this column. */
  bytes: bytea('bytes').notNull(),
  isCompressed: boolean('is_compressed').notNull(),
});

/** The words of a message, for those who search. Written a moment after it, by `store/search-index.ts`. */
export const messageSearch = pgTable(
  'message_search',
  {
    messageId: id('msg', 'message_id')
      .primaryKey()
      // Whatever deletes a message deletes its words. Nothing of the hot path writes here, so the check costs it nothing.
      .references(() => messages.id, { onDelete: 'cascade' }),
    words: tsvector('words').notNull(),
    /** The message was completed since: its words are those of the part that was there. */
    isStale: boolean('is_stale').notNull().default(false),
  },
  (table) => [
    index('message_search_words').using('gin', table.words),
    index('message_search_stale').on(table.messageId).where(sql`${table.isStale}`),
  ],
);

/** How far the log has been read for it: one row. */
export const searchCursor = pgTable('search_cursor', {
  id: integer('id').primaryKey(),
  xid: xid8('xid').notNull(),
  eventId: uuid('event_id').notNull(),
  /** Who reads on, and until when that is nobody else's to do. */
  leaseOwner: uuid('lease_owner'),
  leaseUntil: at('lease_until').notNull().defaultNow(),
});

/** What was ever stored. Outlives messages: every way of reading old mail again runs into it. Never pruned. */
export const dedupeLedger = pgTable(
  'dedupe_ledger',
  {
    mailboxId: id('mbx', 'mailbox_id').notNull(),
    /** 16 bytes of `core/dedupe.ts`; as uuid, since that is PostgreSQL's smallest type for them. */
    key: uuid('key').notNull(),
    messageId: id('msg', 'message_id').notNull(),
  },
  (table) => [primaryKey({ columns: [table.mailboxId, table.key] })],
);

export const events = pgTable(
  'events',
  {
    /** Of `message.received`, the same UUID as the message's: one is found by the other without an index more. */
    id: id('evt', 'id').primaryKey(),
    /**
     * The place of the writing transaction; see `feed-places.ts`. Readers go by (xid, id) below the oldest running transaction:
     * insert order is not commit order, and a reader that went by time or sequence would skip what commits late.
     */
    xid: xid8('xid').notNull().default(sql`mailgress_place(pg_current_xact_id())`),
    type: text('type').notNull(),
    tenant: text('tenant').notNull(),
    mailboxId: id('mbx', 'mailbox_id'),
    /** Null for `message.received`: its data is the message. */
    data: json('data'),
    createdAt: at('created_at').notNull().defaultNow(),
  },
  (table) => [
    index('events_feed').on(table.xid, table.id),
    // The same of one tenant, which would else be sought among the events of all.
    index('events_tenant_feed').on(table.tenant, table.xid, table.id),
    index('events_other_than_messages').on(table.mailboxId).where(sql`${table.data} IS NOT NULL`),
  ],
);

/** One row: the cluster that events are placed in now, by what PostgreSQL calls it, and its history; see `feed-places.ts`. */
export const feedCluster = pgTable('feed_cluster', {
  id: integer('id').primaryKey(),
  systemIdentifier: bigint('system_identifier', { mode: 'bigint' }).notNull(),
  /** PostgreSQL begins another when it goes on from a backup, or when a standby takes over. Null: not known. */
  timeline: integer('timeline'),
});

export const endpoints = pgTable('endpoints', {
  id: id('ep', 'id').primaryKey(),
  /** Null: events of all tenants. */
  tenant: text('tenant'),
  url: text('url').notNull(),
  description: text('description').notNull().default(''),
  types: text('types').array().notNull(),
  secret: bytea('secret').notNull(),
  previousSecret: bytea('previous_secret'),
  previousSecretUntil: at('previous_secret_until'),
  /** Those before the previous one that still sign, newest first; sealed, in hex. */
  olderSecrets: jsonb('older_secrets').$type<{ sealed: string; until: string }[]>().notNull().default([]),
  isEnabled: boolean('is_enabled').notNull().default(true),
  disabledReason: text('disabled_reason'),
  maxInFlight: integer('max_in_flight').notNull(),
  /** Which events are sent, and when; JSON of `core/rules`. */
  rules: jsonb('rules').$type<Record<string, unknown>>().notNull().default({}),
  /** `mailbox`: one at a time for each mailbox, in the order of the log. */
  order: text('order', { enum: ['mailbox'] }),
  /** Webhooks a second at most; null: as many as it takes. */
  ratePerSecond: integer('rate_per_second'),
  /** When its next webhook is due by its rate; each claim moves it on. */
  pacedUntil: at('paced_until'),
  /** Sealed JSON of headers that go along with each webhook, and their names, which may be shown. */
  headers: bytea('headers'),
  headerNames: text('header_names').array().notNull().default([]),
  /** Since when nothing but failure; null while it takes webhooks. */
  failingSince: at('failing_since'),
  /** Failures since then within a day, and the first of them. */
  recentFailures: integer('recent_failures').notNull().default(0),
  recentFailuresSince: at('recent_failures_since'),
  createdAt: at('created_at').notNull().defaultNow(),
});

export const deliveries = pgTable(
  'deliveries',
  {
    id: id('dlv', 'id').primaryKey(),
    endpointId: id('ep', 'endpoint_id').notNull(),
    eventId: id('evt', 'event_id').notNull(),
    replayId: uuid('replay_id').notNull().default(NO_REPLAY),
    status: text('status', { enum: ['pending', 'succeeded', 'failed', 'skipped'] })
      .notNull()
      .default('pending'),
    attempts: integer('attempts').notNull().default(0),
    /** When it is due. Of a claimed one, the end of the lease: a crashed holder's come back by themselves. */
    nextAttemptAt: at('next_attempt_at').notNull().defaultNow(),
    leaseOwner: uuid('lease_owner'),
    /** Grows with each claim. A holder's writes name it, and touch nothing once another has claimed. */
    fence: integer('fence').notNull().default(0),
    lastStatusCode: integer('last_status_code'),
    lastError: text('last_error'),
    /** Which rule left it out, or holds it for now. */
    rule: text('rule'),
    /** Asked for by hand: rules are not looked at. */
    ignoresRules: boolean('ignores_rules').notNull().default(false),
    /** Of an endpoint with an order: whose turn it waits for. Parked behind another it is due never (`store/lanes.ts`). */
    lane: id('mbx', 'lane'),
    createdAt: at('created_at').notNull().defaultNow(),
    completedAt: at('completed_at'),
  },
  (table) => [
    unique('deliveries_once').on(table.eventId, table.endpointId, table.replayId),
    index('deliveries_due')
      .on(table.endpointId, table.nextAttemptAt, table.id)
      .where(sql`${table.status} = 'pending'`),
    index('deliveries_leased')
      .on(table.endpointId)
      .where(sql`${table.status} = 'pending' AND ${table.leaseOwner} IS NOT NULL`),
    index('deliveries_lanes')
      .on(table.endpointId, table.replayId, table.lane, table.eventId)
      .where(sql`${table.status} = 'pending' AND ${table.lane} IS NOT NULL`),
    index('deliveries_failed').on(table.endpointId, table.completedAt).where(sql`${table.status} = 'failed'`),
    index('deliveries_replayed')
      .on(table.replayId, table.status)
      .where(sql`${table.replayId} <> ${sql.raw(`'${NO_REPLAY}'`)}`),
  ],
);

/** Of rules that let one mail of a subject through in a while: which one that was. */
export const subjectGroups = pgTable(
  'subject_groups',
  {
    endpointId: id('ep', 'endpoint_id').notNull(),
    /** A replay goes by itself. */
    replayId: uuid('replay_id').notNull(),
    /** 16 bytes of the hash of tenant and subject group. */
    key: uuid('key').notNull(),
    eventId: id('evt', 'event_id').notNull(),
    /** When that event was. */
    openedAt: at('opened_at').notNull(),
    /** From when on nobody asks for it any more. */
    expiresAt: at('expires_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.endpointId, table.replayId, table.key] })],
);

/** Old events sent to an endpoint again: what is left to queue, and how far it has come. */
export const replays = pgTable('replays', {
  id: id('rpl', 'id').primaryKey(),
  endpointId: id('ep', 'endpoint_id')
    .notNull()
    .references(() => endpoints.id, { onDelete: 'cascade' }),
  since: at('since').notNull(),
  until: at('until').notNull(),
  mailboxId: id('mbx', 'mailbox_id'),
  ignoresRules: boolean('ignores_rules').notNull().default(false),
  status: text('status', { enum: ['running', 'completed', 'cancelled'] })
    .notNull()
    .default('running'),
  /** Events that were there when it was asked for, and how many of them have been queued. */
  total: integer('total').notNull(),
  queued: integer('queued').notNull().default(0),
  /** The last event that was queued. */
  position: uuid('position'),
  dueAt: at('due_at').notNull().defaultNow(),
  createdAt: at('created_at').notNull().defaultNow(),
  completedAt: at('completed_at'),
});

/** Keys beside the admin key. Only their hashes are kept. */
export const apiKeys = pgTable(
  'api_keys',
  {
    id: id('key', 'id').primaryKey(),
    /** SHA-256 of the key: it has so many random bits that nothing slower is needed. */
    hash: bytea('hash').notNull(),
    role: text('role', { enum: ['admin', 'operator', 'reader'] }).notNull(),
    /** Null: all tenants. */
    tenant: text('tenant'),
    description: text('description').notNull().default(''),
    lastUsedAt: at('last_used_at'),
    createdAt: at('created_at').notNull().defaultNow(),
  },
  (table) => [uniqueIndex('api_keys_hash').on(table.hash)],
);

export const attempts = pgTable(
  'attempts',
  {
    id: id('att', 'id').primaryKey(),
    deliveryId: id('dlv', 'delivery_id').notNull(),
    startedAt: at('started_at').notNull(),
    durationMs: integer('duration_ms').notNull(),
    statusCode: integer('status_code'),
    errorCode: text('error_code'),
    error: text('error'),
    responseExcerpt: text('response_excerpt'),
  },
  (table) => [index('attempts_delivery').on(table.deliveryId, table.id)],
);

/** Provider ids seen but not stored: still to be fetched, gone when fetched, or given up with the reason. */
export const stubs = pgTable(
  'stubs',
  {
    id: id('stb', 'id').primaryKey(),
    sourceId: id('src', 'source_id')
      .notNull()
      .references(() => sources.id, { onDelete: 'cascade' }),
    providerId: text('provider_id').notNull(),
    status: text('status', { enum: ['pending', 'missing', 'failed'] }).notNull(),
    error: text('error'),
    attempts: integer('attempts').notNull().default(0),
    /** When a pending one is to be fetched. */
    dueAt: at('due_at').notNull().defaultNow(),
    /** The key the mail will have in the ledger, where that is known before it is fetched. */
    key: uuid('key'),
    /** The gap it was found for. */
    gapId: id('gap', 'gap_id'),
    createdAt: at('created_at').notNull().defaultNow(),
    updatedAt: at('updated_at').notNull().defaultNow(),
  },
  (table) => [
    unique('stubs_once').on(table.sourceId, table.providerId),
    index('stubs_due').on(table.sourceId, table.dueAt).where(sql`${table.status} = 'pending'`),
  ],
);

export const gaps = pgTable(
  'gaps',
  {
    id: id('gap', 'id').primaryKey(),
    sourceId: id('src', 'source_id')
      .notNull()
      .references(() => sources.id, { onDelete: 'cascade' }),
    reason: text('reason').notNull(),
    /** Of kind imap: the folder whose mail is missing. Of the others, and for all folders: null. */
    folder: text('folder'),
    /** History ids (digits), or places in a folder (`imap-place.ts`); null where unknown. */
    fromCursor: text('from_cursor'),
    toCursor: text('to_cursor'),
    recoveredBy: text('recovered_by'),
    /** The listing that recovers it reads mail from this time on, to the other; null: no end. */
    since: at('since'),
    until: at('until'),
    /** Where that listing goes on; null before it began. */
    pageToken: text('page_token'),
    /** Connections that ended while its next page was listed. */
    strikes: integer('strikes').notNull().default(0),
    /** When it came to its end; what it found may still be stubs. */
    listedAt: at('listed_at'),
    /** Ids that were listed, and mails of them that were stored by it. */
    listed: integer('listed').notNull().default(0),
    recovered: integer('recovered').notNull().default(0),
    openedAt: at('opened_at').notNull().defaultNow(),
    recoveredAt: at('recovered_at'),
  },
  // Told of twice, it is one gap.
  (table) => [
    unique('gaps_once').on(table.sourceId, table.reason, table.fromCursor, table.toCursor).nullsNotDistinct(),
  ],
);
