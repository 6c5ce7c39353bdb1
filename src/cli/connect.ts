import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type Config, readConfig } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import { type Mailbox, mailboxSchema, type Source, sourceSchema } from '../core/resources.ts';
import { createConsents } from '../sources/oauth/consent.ts';
import type { Client } from './client.ts';
import { findMailboxId } from './client-command.ts';
import { EXIT } from './exit.ts';
import { listenOnLoopback } from './loopback.ts';
import { say, sayJson } from './print.ts';

export type GmailOptions = { mailbox: string; serviceAccount?: boolean; timeout: string; json?: boolean };

const POLL_MS = 1000;

/** States in which a source waits for a person; a consent moves it out of them. */
const WAITING_STATES: readonly string[] = ['needs_reauth', 'error', 'disabled', 'disconnected'];

/**
 * `source add --kind gmail`: asks the mailbox's owner for consent in a browser and makes the source; with
 * `--service-account` nobody is asked. What a person has to do is told on standard error, so that `--json` stays JSON.
 */
export async function addGmailSource(client: Client, options: GmailOptions): Promise<void> {
  const timeoutMs = parseTimeout(options.timeout);
  const mailboxId = await findMailboxId(client, options.mailbox);
  const made = options.serviceAccount
    ? await saveGmailSource(client, mailboxId, { type: 'service-account' })
    : await connectMailbox(client, mailboxId, readConfig(), timeoutMs);
  if (options.json) return sayJson(made);
  say(`${made.id}  ${made.kind}  ${made.address}  ${made.state}`);
}

async function connectMailbox(
  client: Client,
  mailboxId: string,
  config: Config,
  timeoutMs: number,
): Promise<Source> {
  const path = `/v1/mailboxes/${encodeURIComponent(mailboxId)}`;
  const mailbox = mailboxSchema.parse(await client.call('GET', path));
  return config.google.client === undefined
    ? await connectByLink(client, mailbox, 'google', timeoutMs)
    : await connectHere(client, mailbox, config, timeoutMs);
}

/** The consent comes back to this process, which exchanges it and hands the refresh token to the service. */
async function connectHere(
  client: Client,
  { id, address }: Mailbox,
  config: Config,
  timeoutMs: number,
): Promise<Source> {
  const consents = createConsents(config);
  await using loopback = await listenOnLoopback();
  const { redirectUri } = loopback;
  const { url, secrets } = await consents.begin('google', { redirectUri, address });
  const { port } = new URL(redirectUri);
  tell(
    `Open this in a browser on this machine, and sign in as ${address}:`,
    '',
    `  ${url.href}`,
    '',
    `With the browser on another machine, let it come back here: ssh -L ${port}:127.0.0.1:${port} <this machine>`,
    'Should Google say redirect_uri_mismatch: GOOGLE_CLIENT_ID has to be a client of type "Desktop app". Or unset it',
    'here, and the service asks with its own. The service has to have the same client, or cannot use the consent.',
    `Waiting for ${Math.round(timeoutMs / 1000)} s; Ctrl-C ends it.`,
  );
  onInterrupt('Nothing was connected.');
  const { url: callbackUrl, answer } = await loopback.wait(secrets.state, timeoutMs);
  const outcome = await consents
    .finish('google', callbackUrl, { secrets, address })
    .catch((error: unknown) => {
      answer('Nothing was connected. The terminal says why.');
      throw error;
    });
  if (outcome.outcome === 'refused') {
    answer(`Nothing was connected. ${outcome.message}`);
    throw new MailgressError('bad_request', `Nothing was connected. ${outcome.message}`);
  }
  answer('Google has said yes. You can close this page; the terminal goes on.');
  return saveGmailSource(client, id, { type: 'oauth', refreshToken: outcome.refreshToken });
}

const KINDS = { google: 'gmail', microsoft: 'imap' } as const;

/** The service asks, and makes the source when the consent comes back to it. */
export async function connectByLink(
  client: Client,
  { id, address }: Mailbox,
  provider: 'google' | 'microsoft',
  timeoutMs: number,
): Promise<Source> {
  const listConnected = () => listSourcesOf(client, id, KINDS[provider]);
  const before = await listConnected();
  const link = z
    .object({ url: z.string(), expiresAt: z.string() })
    .parse(await client.call('POST', `/v1/mailboxes/${id}/connect`, { provider }));
  tell(
    ...(provider === 'google' ? ['GOOGLE_CLIENT_ID is not set here, so that the service asks.'] : []),
    `Open this in any browser, and sign in as ${address}:`,
    '',
    `  ${link.url}`,
    '',
    `The link is good until ${link.expiresAt}.`,
  );
  const [known] = before;
  if (known !== undefined && !WAITING_STATES.includes(known.state)) {
    tell('The mailbox has this source already; the consent gives it new credentials.');
    return known;
  }
  tell(`Waiting ${Math.round(timeoutMs / 1000)} s for the source; Ctrl-C ends the waiting, not the link.`);
  onInterrupt('No longer waiting; the link is as good as before.');
  const stateBefore = new Map(before.map((source) => [source.id, source.state]));
  for (const endsMs = performance.now() + timeoutMs; performance.now() < endsMs; await sleep(POLL_MS)) {
    const sources = await listConnected();
    const connected = sources.find((source) => source.state !== stateBefore.get(source.id));
    if (connected !== undefined) return connected;
  }
  throw new MailgressError(
    'service_unavailable',
    `Nobody has followed the link yet. It is good until ${link.expiresAt}; \`mailgress source list\` shows the source then`,
  );
}

/** Makes the source, or gives the one that the mailbox has its new credentials. */
async function saveGmailSource(client: Client, mailboxId: string, auth: object): Promise<Source> {
  const [known] = await listSourcesOf(client, mailboxId, 'gmail');
  if (known !== undefined)
    return sourceSchema.parse(await client.call('PATCH', `/v1/sources/${known.id}`, { auth }));
  const path = `/v1/mailboxes/${encodeURIComponent(mailboxId)}/sources`;
  return sourceSchema.parse(await client.call('POST', path, { kind: 'gmail', auth }));
}

/** Newest first. */
async function listSourcesOf(client: Client, mailboxId: string, wanted: 'gmail' | 'imap'): Promise<Source[]> {
  const page = z
    .object({ data: z.array(sourceSchema) })
    .parse(await client.call('GET', `/v1/sources?mailbox=${mailboxId}&limit=500`));
  return page.data.filter(({ kind }) => kind === wanted);
}

/** @throws MailgressError `usage` */
export function parseTimeout(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text) * 1000;
  throw new MailgressError('usage', `--timeout ${text}: must be a whole number of seconds, from 1 to 99999`);
}

/** Nothing has to be taken back: there is no source without a consent, and one that nobody exchanges expires. */
function onInterrupt(message: string): void {
  process.once('SIGINT', () => {
    tell('', message);
    process.exit(EXIT.interrupted);
  });
}

/** On standard error, so that `--json` stays JSON. */
export function tell(...lines: string[]): void {
  process.stderr.write(lines.map((line) => `${line}\n`).join(''));
}
