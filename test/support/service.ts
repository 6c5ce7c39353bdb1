import { pino } from 'pino';
import { readConfig } from '../../src/config.ts';
import { sign } from '../../src/core/signature.ts';
import { type Service, type ServiceOptions, startService } from '../../src/service.ts';
import { createTestDatabase } from './database.ts';

export const ADMIN_TOKEN = 'test-admin-token-of-good-length';
export const SECRET_KEY = 'test-secret-key-of-at-least-32-characters';

export type TestService = Service & {
  databaseUrl: string;
  /** A request to the API, with the admin key; answers the status and the parsed body. */
  api(method: string, path: string, body?: unknown): Promise<Answer>;
  /** A signed push to an ingest route. */
  push(source: PushSource, body: string | Uint8Array, headers?: Record<string, string>): Promise<Response>;
  /** Stops the service and drops its database. */
  dispose(): Promise<void>;
};

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of many shapes
export type Answer = { status: number; body: any };

export type PushSource = { id: string; secret: string; ingestUrl: string };

/** The whole service, on a database and a port of its own. */
export async function startTestService(options: Partial<ServiceOptions> = {}): Promise<TestService> {
  const database = options.databaseUrl === undefined ? await createTestDatabase() : undefined;
  const databaseUrl = options.databaseUrl ?? database?.url ?? '';
  const { google, microsoft } = readConfig({});
  const service = await startService({
    databaseUrl,
    host: '127.0.0.1',
    port: 0,
    publicUrl: undefined,
    adminToken: ADMIN_TOKEN,
    secretKeys: [SECRET_KEY],
    egressAllow: [],
    allowLoopback: true,
    bodyLimitBytes: 1024 * 1024,
    google,
    microsoft,
    dispatch: true,
    version: '0.0.0-test',
    log: pino({ level: 'silent' }),
    ...options,
  });
  return {
    ...service,
    databaseUrl,
    api: (method, path, body) => callApi(service.address, method, path, body),
    push: (source, body, headers) => push(source, body, headers),
    async dispose() {
      await service.stop();
      await database?.drop();
    },
  };
}

export async function callApi(base: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
  const response = await fetch(`${base}${path}`, {
    method,
    headers,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

let pushes = 0;

export function push(
  source: PushSource,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<Response> {
  const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body);
  return fetch(source.ingestUrl, {
    method: 'POST',
    headers: { ...signatureHeaders(source.secret, bytes), ...headers },
    body: bytes,
  });
}

export function signatureHeaders(secret: string, body: Uint8Array, at = new Date()): Record<string, string> {
  const id = `batch-${++pushes}-${process.pid}`;
  const timestamp = Math.floor(at.getTime() / 1000);
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': sign({ id, timestamp, body, secrets: [secret] }),
  };
}

/** A mailbox with one source. */
export async function addSource(
  service: { address: string },
  kind: 'apps-script' | 'raw' = 'apps-script',
  address = `me-${++pushes}@example.com`,
): Promise<PushSource & { mailboxId: string }> {
  const { body: mailbox } = await callApi(service.address, 'POST', '/v1/mailboxes', { address });
  const { body: source } = await callApi(service.address, 'POST', `/v1/mailboxes/${mailbox.id}/sources`, {
    kind,
  });
  return source;
}

/** A Gmail message as the script posts it. */
export function gmailItem(
  id: string,
  mail: string,
  extra: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    id,
    threadId: id,
    labelIds: ['INBOX'],
    internalDate: '1760000000000',
    raw: Buffer.from(mail).toString('base64url'),
    ...extra,
  };
}

export function batch(messages: unknown[], extra: Record<string, unknown> = {}): string {
  return JSON.stringify({
    kind: 'messages',
    script: { version: '1.0.0', account: 'me@example.com' },
    messages,
    ...extra,
  });
}

export function mailOf(subject: string, body = 'Hello', headers = ''): string {
  return `From: Ada <ada@example.com>\r\nTo: me@example.com\r\nSubject: ${subject}\r\nMessage-ID: <${encodeURIComponent(subject)}@example.com>\r\n${headers}\r\n${body}\r\n`;
}
