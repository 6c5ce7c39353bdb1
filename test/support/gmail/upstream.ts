import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Pool } from 'undici';
import type { EmulateData } from './emulate-worker.ts';

/** emulate's Google as it is, asked past the proxy. */
export type Upstream = {
  url: string;
  /** A request of the Gmail API as this account; a path such as `messages?q=x`. */
  gmail(account: string, method: string, path: string, body?: object): Promise<Reply>;
  /** Any request; `token` in place of what the headers say. */
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

/** The token that reads and writes an account without asking the proxy. */
const tokenOf = (account: string) => `token-of-${account}`;

export async function startUpstream(settings: Omit<EmulateData, 'tokens'>): Promise<Upstream> {
  const tokens = Object.fromEntries(settings.accounts.map((login) => [tokenOf(login), { login }]));
  const workerData: EmulateData = { ...settings, tokens };
  const worker = new Worker(new URL('./emulate-worker.ts', import.meta.url), { workerData });
  const [url] = await Promise.race([
    once(worker, 'message'),
    once(worker, 'error').then(([error]) => Promise.reject(error)),
  ]);
  const pool = new Pool(url, { connections: CONNECTIONS });

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
    gmail: (account, method, path, body) =>
      send({
        method,
        path: `/gmail/v1/users/me/${path}`,
        headers: { authorization: `Bearer ${tokenOf(account)}`, 'content-type': 'application/json' },
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
