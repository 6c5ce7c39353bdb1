import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { describeError, MailgressError } from '../core/errors.ts';
import { problemSchema } from '../http/problem.ts';
import { readInstance } from '../ops/data-directory.ts';

/** A running service, as the command line talks to it. */
export type Client = {
  url: string;
  /** @throws MailgressError `service_unavailable`, `unauthorized`, or `bad_request` with the service's own words. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
};

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
  const url = (options.url ?? config.publicUrl ?? instance?.url)?.replace(/\/+$/, '');
  if (url === undefined) {
    throw new MailgressError(
      'service_unavailable',
      `No service is known to run on ${config.dataDirectory}: start one with \`npm start\`, or say --url`,
    );
  }
  const token = options.token ?? config.adminToken ?? (await readToken(config.dataDirectory));

  return {
    url,
    async call(method, path, body) {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
      return readAnswer(await request(`${url}${path}`, init));
    },
  };
}

/** @throws MailgressError `service_unavailable` if nobody answers. */
export async function request(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal: AbortSignal.timeout(30_000) });
  } catch (error) {
    const { cause } = error instanceof Error ? error : { cause: undefined };
    throw new MailgressError(
      'service_unavailable',
      `Nobody answers at ${new URL(url).origin} (${describeError(cause ?? error)}): is the service running?`,
      { cause: error },
    );
  }
}

export async function readAnswer(response: Response): Promise<unknown> {
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body;
  const problem = problemSchema.safeParse(body).data;
  const faults = problem?.errors?.map(({ path, message }) => `${path}: ${message}`) ?? [];
  const detail = [problem?.detail ?? response.statusText, ...faults].join('; ');
  if (response.status === 401) {
    throw new MailgressError('unauthorized', `The service does not accept the key or signature: ${detail}`);
  }
  const code = response.status >= 500 ? 'service_unavailable' : 'bad_request';
  throw new MailgressError(code, `The service answers ${response.status}: ${detail}`);
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
