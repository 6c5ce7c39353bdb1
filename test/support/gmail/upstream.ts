import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Pool } from 'undici';
import type { EmulateData } from './emulate-worker.ts';

/** emulate's Google as it is, asked past the proxy. */
export type Upstream = {
  url: string;
  /** A request of the Gmail API as this account; a path such as `messages?q=x`. */
  gmail(account: string, method: string, path: string, body?: object): Promise<Reply>;
  /** The header that says whose request it is. */
  as(account: string): { authorization: string };
  /** Any request. */
  send(request: UpstreamRequest): Promise<Reply>;
  close(): Promise<void>;
};

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
export type Reply = { status: number; headers: Record<string, string>; bytes: Buffer; json: any };

export type UpstreamRequest = {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: Buffer | string | undefined;
};

/** Requests at once: it works on one after the other anyhow. */
const CONNECTIONS = 8;

/** Every emulator of emulate takes 5,000 requests an hour of one token, as GitHub does; so each account has several. */
const REQUESTS_A_TOKEN = 4_500;
const TOKENS = 40;

/** A token that reads and writes an account without asking the proxy. */
const tokenOf = (account: string, index: number) => `token-${index}-of-${account}`;

export async function startUpstream(settings: Omit<EmulateData, 'tokens'>): Promise<Upstream> {
  const tokens = Object.fromEntries(
    settings.accounts.flatMap((login) =>
      Array.from({ length: TOKENS }, (_, index) => [tokenOf(login, index), { login }]),
    ),
  );
  const workerData: EmulateData = { ...settings, tokens };
  const worker = new Worker(new URL('./emulate-worker.ts', import.meta.url), { workerData });
  const [url] = await Promise.race([
    once(worker, 'message'),
    once(worker, 'error').then(([error]) => Promise.reject(error)),
  ]);
  const pool = new Pool(url, { connections: CONNECTIONS });

  const requests = new Map<string, number>();
  function currentToken(account: string): string {
    const count = requests.get(account) ?? 0;
    requests.set(account, count + 1);
    return tokenOf(account, Math.floor(count / REQUESTS_A_TOKEN) % TOKENS);
  }

  async function send({ method, path, headers = {}, body }: UpstreamRequest): Promise<Reply> {
    const response = await pool.request({ method: method as 'GET', path, headers, body: body ?? null });
    const bytes = Buffer.from(await response.body.arrayBuffer());
    const isJson = String(response.headers['content-type']).includes('json');
    return {
      status: response.statusCode,
      headers: response.headers as Record<string, string>,
      bytes,
      json: isJson && bytes.length > 0 ? JSON.parse(bytes.toString()) : undefined,
    };
  }

  return {
    url,
    send,
    as: (account) => ({ authorization: `Bearer ${currentToken(account)}` }),
    gmail: (account, method, path, body) =>
      send({
        method,
        path: `/gmail/v1/users/me/${path}`,
        headers: { authorization: `Bearer ${currentToken(account)}`, 'content-type': 'application/json' },
        body: body && JSON.stringify(body),
      }),
    async close() {
      await pool.destroy();
      const ended = once(worker, 'exit');
      worker.postMessage('stop');
      await ended;
    },
  };
}
