/*
 * What the service is held against: the same HTTP, signature, JSON and schema work, and then
 *   none            nothing: the answer comes at once, and the mail is not even read
 *   insert-raw      one INSERT a request of the mail as it came, unread, with the unique key that finds duplicates
 *   insert-message  the obvious way to do what the service does: the mail is read, and its message, with its bytes,
 *                   is one INSERT a request
 * Started with DATABASE_URL and one of these words; tells its port and source by a message.
 */

import { once } from 'node:events';
import { createAdaptorServer } from '@hono/node-server';
import { pino } from 'pino';
import postgres from 'postgres';
import { readConfig } from '../src/config.ts';
import { createId, uuidOf } from '../src/core/ids.ts';
import { normalize } from '../src/core/normalize.ts';
import { createKeyring } from '../src/core/sealed.ts';
import { createSecret } from '../src/core/signature.ts';
import { createEgress } from '../src/deliver/egress.ts';
import { createFeedHub } from '../src/deliver/feed-hub.ts';
import { createApp } from '../src/http/app.ts';
import { createBodies } from '../src/http/bodies.ts';
import { printForStream } from '../src/http/event-stream.ts';
import { createGate } from '../src/http/gate.ts';
import { UNLIMITED } from '../src/http/source-rate.ts';
import type { Ingest } from '../src/ingest.ts';
import { createMetrics } from '../src/ops/metrics.ts';
import { createConsents } from '../src/sources/oauth/consent.ts';
import { openDatabase } from '../src/store/database.ts';
import type { IngressSource } from '../src/store/sources.ts';

const [, , kind = 'none'] = process.argv;
const url = process.env.DATABASE_URL ?? '';
const sql = postgres(url, { max: 10, onnotice: () => {} });
const secret = createSecret();
const source: IngressSource = {
  id: createId('src'),
  kind: 'apps-script',
  mailboxId: createId('mbx'),
  tenant: 'default',
  address: 'grace@example.org',
  authenticationServers: [],
  isWanted: true,
  secrets: [secret],
  hasStubs: false,
};

const answerAtOnce: Ingest = async () => ({ status: 'accepted', messageId: createId('msg') });
const insertRaw: Ingest = async (mail, { mailboxId }) => {
  const messageId = createId('msg');
  const rows = await sql`
    INSERT INTO bench_raw_mails (id, mailbox_id, provider_id, labels, raw)
    VALUES (${uuidOf(messageId)}, ${uuidOf(mailboxId)}, ${mail.providerId}, ${JSON.stringify(mail.labels)},
            ${Buffer.from(mail.bytes)})
    ON CONFLICT DO NOTHING RETURNING id`;
  return { status: rows.length > 0 ? 'accepted' : 'duplicate', messageId };
};
const insertMessage: Ingest = async (mail, { mailboxId, tenant, address, id: sourceId }) => {
  const messageId = createId('msg');
  const { content } = await normalize(mail, new Date());
  const document = { id: messageId, tenant, mailboxId, address, source: { id: sourceId }, ...content };
  const rows = await sql`
    INSERT INTO bench_messages (id, mailbox_id, provider_id, placement, from_address, subject, document, raw)
    VALUES (${uuidOf(messageId)}, ${uuidOf(mailboxId)}, ${mail.providerId}, ${content.placement},
            ${content.from?.address ?? null}, ${content.subject}, ${JSON.stringify(document)}::text::json,
            ${Buffer.from(mail.bytes)})
    ON CONFLICT DO NOTHING RETURNING id`;
  return { status: rows.length > 0 ? 'accepted' : 'duplicate', messageId };
};
const INGESTS: Record<string, Ingest> = {
  none: answerAtOnce,
  'insert-raw': insertRaw,
  'insert-message': insertMessage,
};

await sql`
  CREATE TABLE IF NOT EXISTS bench_raw_mails (
    id uuid PRIMARY KEY, mailbox_id uuid NOT NULL, provider_id text NOT NULL, labels jsonb NOT NULL, raw bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(), UNIQUE (mailbox_id, provider_id))`;
await sql`
  CREATE TABLE IF NOT EXISTS bench_messages (
    id uuid PRIMARY KEY, mailbox_id uuid NOT NULL, provider_id text NOT NULL, placement text NOT NULL,
    from_address text, subject text, document json NOT NULL, raw bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(), UNIQUE (mailbox_id, provider_id))`;

const nobody = () => Promise.reject(new Error('the bench reads no mailboxes'));
const app = createApp({
  database: openDatabase(url),
  keyring: createKeyring(['a key for the bench, of 32 characters']),
  ingest: INGESTS[kind] ?? answerAtOnce,
  ingressSources: {
    find: async () => source,
    refresh: async () => source,
    forget: () => {},
    forgetAll: () => {},
  },
  gate: createGate(),
  sourceRate: UNLIMITED,
  bodies: createBodies(),
  activity: { note: () => {}, flush: async () => {}, stop: async () => {} },
  pubsub: undefined,
  gmail: { create: nobody, change: nobody, connect: nobody, prepareEnd: nobody },
  imap: { create: nobody, change: nobody, reset: nobody, wake: () => {} },
  feed: createFeedHub({ read: nobody, print: printForStream }),
  wakeSync: () => {},
  egress: createEgress({ allow: [], allowLoopback: true }),
  wakeDispatcher: () => {},
  attachments: { read: nobody },
  consents: createConsents(readConfig({})),
  connectSource: async () => undefined,
  identify: async () => undefined,
  doctor: nobody,
  metricsToken: undefined,
  metrics: createMetrics(),
  processMetrics: { print: () => '', stop: () => {} },
  bodyLimitBytes: 50_000_000,
  publicUrl: () => '',
  version: '0.0.0',
  log: pino({ level: 'warn' }),
});
const server = createAdaptorServer({ fetch: app.fetch });
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
const port = typeof address === 'object' && address !== null ? address.port : 0;
process.send?.({ port, path: `/v1/ingest/apps-script/${source.id}`, secret });
// An orderly end, so that `node --cpu-prof` writes what it saw.
process.once('SIGTERM', () => process.exit());
