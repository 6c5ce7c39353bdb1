import { parentPort, workerData } from 'node:worker_threads';
import { createEmulator } from 'emulate';
import { chooseFreePort } from '../../../src/store/embedded/choose-port.ts';

/*
 * emulate's Google, in a thread of its own, so that its work is not in the way of who tests. It is told its own
 * address by the port, as that which it says it has is the proxy's.
 */

export type EmulateData = {
  accounts: readonly string[];
  /** Access tokens from the start. */
  tokens: Record<string, { login: string }>;
  client: { id: string; secret: string; redirectUris: readonly string[] };
  /** What it says of itself, and the issuer of its id tokens. */
  baseUrl: string;
};

const { accounts, tokens, client, baseUrl }: EmulateData = workerData;
const [port, gmail] = await listen({
  baseUrl,
  seed: {
    tokens,
    google: {
      users: accounts.map((email) => ({ email, name: email })),
      oauth_clients: [
        { client_id: client.id, client_secret: client.secret, redirect_uris: client.redirectUris },
      ],
    },
  },
});
parentPort?.once('message', () => gmail.close());
parentPort?.postMessage(`http://127.0.0.1:${port}`);

/** With a base URL it does not say which port it got, so the port is chosen here. */
async function listen(options: object) {
  for (let attempts = 1; ; attempts++) {
    const port = await chooseFreePort();
    try {
      return [port, await createEmulator({ service: 'google', port, ...options })] as const;
    } catch (error) {
      // Taken in the moment between.
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempts === 10) throw error;
    }
  }
}
