import { type MessagePort, workerData } from 'node:worker_threads';
import { createEmulator } from 'emulate';
import postgres from 'postgres';
import { type Dispatcher, request } from 'undici';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { addSource, type PushSource, startTestService } from '../support/service.ts';

/*
 * What an Apps Script talks to: a Gmail and the real service, in a thread of their own, so that the thread of the
 * script can wait for an answer without letting go, as UrlFetchApp does. Their clock is the script's virtual one.
 */

const { time, signal, bodyLimitBytes, accounts } = workerData;
const port: MessagePort = workerData.port;

globalThis.Date = class extends Date {
  // biome-ignore lint/suspicious/noExplicitAny: the constructor of Date takes anything
  constructor(...given: any[]) {
    // @ts-expect-error a spread is no tuple
    super(...(given.length === 0 ? [time[0]] : given));
  }
  static override now(): number {
    return time[0];
  }
} as DateConstructor;

const tokens = Object.fromEntries(accounts.map((login: string) => [`token-of-${login}`, { login }]));
const gmail = await createEmulator({
  service: 'google',
  port: 0,
  seed: { tokens, google: { users: accounts.map((email: string) => ({ email, name: email })) } },
});
const database = await createTestDatabase();
const sql = postgres(database.url, { max: 1, onnotice: () => {} });
// The database is not what is ended here, and a week has thousands of commits: none waits for the disk.
await sql.unsafe(`ALTER DATABASE ${new URL(database.url).pathname.slice(1)} SET synchronous_commit = off`);
// No limit of mails a second: hours of the virtual clock pass in seconds of the real one.
const service = await startTestService({
  bodyLimitBytes,
  dispatch: false,
  databaseUrl: database.url,
  mailsPerSecond: 0,
});

/** Waits until the signs of life that came so far are written: all at once, so a last one shows it. */
let signs = 0;
let witness: PushSource | undefined;
async function writeSignsOfLife(): Promise<void> {
  witness ??= await addSource(service, 'apps-script', 'witness@example.com');
  const version = `sign ${++signs}`;
  await service.push(witness, JSON.stringify({ kind: 'ping', script: { version, account: 'witness' } }));
  const id = witness.id.slice('src_'.length);
  await waitUntil('the sign of life is written', async () => {
    const [row] = await sql`SELECT heartbeat->>'version' AS version FROM sources WHERE id = ${id}`;
    return row?.version === version;
  });
}

/** What the script's thread asks for. */
const operations = {
  async http({ url, method, headers, body }: HttpRequest): Promise<HttpAnswer> {
    const target = url.replace('gmail:', gmail.url).replace('service:', service.address);
    // Of undici rather than fetch: half the time, and a week has twenty thousand of these.
    const response = await request(target, {
      method: method as Dispatcher.HttpMethod,
      headers: headers ?? {},
      body: body ?? null,
    });
    const bytes = new Uint8Array(await response.body.arrayBuffer());
    return { status: response.statusCode, headers: response.headers as Record<string, string>, body: bytes };
  },
  source: (address: string) => addSource(service, 'apps-script', address),
  sql: async (text: string) => [...(await sql.unsafe(text))],
  flush: writeSignsOfLife,
  async stop() {
    await sql.end();
    await service.dispose();
    await database.drop();
    await gmail.close();
    port.close();
  },
};

export type HttpRequest = {
  /** `gmail:` and `service:` stand for where these listen. */
  url: string;
  method: string;
  headers?: Record<string, string> | undefined;
  body?: Uint8Array<ArrayBuffer> | string | undefined;
};
export type HttpAnswer = { status: number; headers: Record<string, string>; body: Uint8Array };
export type Operations = typeof operations;

port.on('message', async ({ operation, argument }: { operation: keyof Operations; argument: never }) => {
  try {
    port.postMessage({ value: await operations[operation](argument) });
  } catch (error) {
    port.postMessage({ error: String(error instanceof Error ? (error.stack ?? error) : error) });
  }
  Atomics.store(signal, 0, 1);
  Atomics.notify(signal, 0);
});
port.postMessage({ value: { address: service.address } });
