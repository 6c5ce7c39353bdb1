import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import type { Config } from '../config.ts';
import { describeError, MailgressError } from '../core/errors.ts';
import { problemSchema, resultsSchema } from '../core/resources.ts';
import { sign } from '../core/signature.ts';
import { readInstance } from '../ops/data-directory.ts';

/** A running service, as the command line talks to it. */
export type Client = {
  url: string;
  /** @throws MailgressError `service_unavailable`, `unauthorized`, `forbidden`, or `bad_request` with the service's own words. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  /** The words of an answer of this type, which is not JSON. Throws as `call`. */
  getText(path: string, contentType: string): Promise<string>;
  /** An answer that never ends by itself, as its bytes come. Throws as `call`, and while it is read when it breaks off. */
  openStream(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<ByteStream>;
};

export type ByteStream = ReadableStream<Uint8Array>;

/**
 * Finds the service: what the options say, else the configuration, else what the data directory holds.
 *
 * @throws MailgressError `service_unavailable` if nothing says where it runs.
 */
export async function createClient(
  config: Config,
  options: { url?: string; token?: string },
): Promise<Client> {
  const instance = await readInstance(config.dataDirectory);
  const url = (parseUrl(options.url) ?? config.publicUrl ?? instance?.url)?.replace(/\/+$/, '');
  if (url === undefined) {
    throw new MailgressError(
      'service_unavailable',
      `No service is known to run on ${config.dataDirectory}: start one (\`npm start\` in a checkout, else \`mailgress all\`), or say --url`,
    );
  }
  const token = options.token ?? config.adminToken ?? (await readToken(config.dataDirectory));
  // As a header takes it. The value is not repeated: it may be a key with a line end from somewhere.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new MailgressError(
      'usage',
      'The key (--token, or what stands for it) holds blanks or letters that no key has',
    );
  }
  const authorization = `Bearer ${token}`;

  return {
    url,
    async getText(path, contentType) {
      const response = await request(`${url}${path}`, { headers: { authorization } });
      // A page to sign in to something, with 200, is not what was asked for.
      if (!response.ok) await readAnswer(response);
      if (!response.headers.get('content-type')?.startsWith(contentType)) throw notMailgress(response);
      return response.text();
    },
    async openStream(path, headers, signal) {
      const response = await request(`${url}${path}`, { headers: { authorization, ...headers }, signal });
      if (!response.ok) await readAnswer(response);
      const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
      if (!isStream || response.body === null) throw notMailgress(response);
      return response.body;
    },
    async call(method, path, body) {
      const headers = { authorization, 'content-type': 'application/json' };
      const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
      return readAnswer(await request(`${url}${path}`, init));
    },
  };
}

/** @throws MailgressError `usage` */
function parseUrl(url: string | undefined): string | undefined {
  if (url === undefined) return undefined;
  const parsed = URL.parse(url);
  if (parsed?.username || parsed?.password) {
    throw new MailgressError('usage', '--url: must have no user name and password in it; say --token');
  }
  if (parsed !== null && /^https?:$/.test(parsed.protocol)) return url;
  throw new MailgressError('usage', `--url ${url}: must be a URL that begins with http:// or https://`);
}

/** @throws MailgressError `service_unavailable` if nobody answers. */
async function request(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { signal: AbortSignal.timeout(30_000), ...init });
  } catch (error) {
    const { cause } = error instanceof Error ? error : { cause: undefined };
    throw new MailgressError(
      'service_unavailable',
      `Nobody answers at ${new URL(url).origin} (${describeError(cause ?? error)}): is the service running?`,
      { cause: error },
    );
  }
}

/**
 * Posts to an ingest route, signed with the source's secret.
 *
 * @returns what became of each mail.
 * @throws as `Client.call`.
 */
export async function postSigned(
  client: Client,
  kind: 'apps-script' | 'raw',
  source: { id: string; secret: string },
  body: Buffer,
): Promise<z.infer<typeof resultsSchema>['results']> {
  const id = randomUUID();
  const timestamp = Math.floor(Date.now() / 1000);
  const headers = {
    'content-type': kind === 'raw' ? 'message/rfc822' : 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': sign({ id, timestamp, body, secrets: [source.secret] }),
  };
  const init = { method: 'POST', headers, body: new Uint8Array(body) };
  const answer = await readAnswer(await request(`${client.url}/v1/ingest/${kind}/${source.id}`, init));
  return resultsSchema.parse(answer).results;
}

async function readAnswer(response: Response): Promise<unknown> {
  // Done, and there is nothing to tell.
  if (response.status === 204) return undefined;
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok && body !== undefined) return body;
  const problem = problemSchema.safeParse(body).data;
  if (problem === undefined) throw notMailgress(response);
  const faults = problem.errors?.map(({ path, message }) => `${path}: ${message}`) ?? [];
  const detail = [problem.detail, ...faults].join('; ');
  if (response.status === 401) {
    throw new MailgressError('unauthorized', `The service does not accept the key or signature: ${detail}`);
  }
  if (response.status === 403) throw new MailgressError('forbidden', detail);
  const code =
    response.status === 429 || response.status >= 500
      ? 'service_unavailable'
      : response.status === 404
        ? 'not_found'
        : 'bad_request';
  throw new MailgressError(code, `The service answers ${response.status}: ${detail}`);
}

function notMailgress({ url, status, statusText }: Response): MailgressError {
  const { origin } = new URL(url);
  return new MailgressError(
    'service_unavailable',
    `What answers at ${origin} (${status} ${statusText}) is not Mailgress, or something stands before it: \
check --url or MAILGRESS_PUBLIC_URL`,
  );
}

async function readToken(dataDirectory: string): Promise<string> {
  const path = join(dataDirectory, 'admin-token');
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new MailgressError(
      'configuration',
      `No key: say --token, set MAILGRESS_ADMIN_TOKEN, or run where ${path} can be read`,
      { cause },
    );
  }
}
