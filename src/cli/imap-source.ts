import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { MailgressError } from '../core/errors.ts';
import { mailboxSchema, sourceSchema } from '../core/resources.ts';
import { imapReportSchema } from '../http/imap-sources.ts';
import type { Client } from './client.ts';
import { findMailboxId } from './client-command.ts';
import { connectByLink, parseTimeout, tell } from './connect.ts';
import { say, sayJson } from './print.ts';
import { parseTime } from './time-option.ts';

export type ImapOptions = {
  mailbox: string;
  timeout: string;
  user?: string;
  provider?: string;
  host?: string;
  port?: string;
  security?: string;
  folders?: string;
  since?: string;
  standby?: boolean;
  connect?: string;
  json?: boolean;
};

/**
 * `source add --kind imap`: the service logs in and lists before it keeps anything, so what is wrong is told here. The
 * password is asked for, or is the first line of standard input: on the command line everybody on the machine could read it.
 */
export async function addImapSource(client: Client, options: ImapOptions): Promise<void> {
  const mailboxId = await findMailboxId(client, options.mailbox);
  const mailbox = mailboxSchema.parse(
    await client.call('GET', `/v1/mailboxes/${encodeURIComponent(mailboxId)}`),
  );
  if (options.connect !== undefined) {
    if (options.connect !== 'microsoft') {
      throw new MailgressError('usage', `--connect ${options.connect}: must be microsoft`);
    }
    const source = await connectByLink(client, mailbox, 'microsoft', parseTimeout(options.timeout));
    if (options.json) return sayJson(source);
    return say(`${source.id}  ${source.kind}  ${source.address}  ${source.state}`);
  }
  const user = options.user ?? mailbox.address;
  const password = await readPassword(`Password of ${user}: `);
  tell(`Logging in as ${user} ...`);
  const answer = await client.call('POST', `/v1/mailboxes/${mailboxId}/sources`, {
    ...bodyOf(options),
    auth: { type: 'password', user, password },
  });
  const made = sourceSchema.extend({ report: imapReportSchema }).parse(answer);
  if (options.json) return sayJson(made);
  const { report } = made;
  say(
    `${made.id}  ${made.kind}  ${made.address}`,
    `  server    ${made.imap?.host} (${made.imap?.provider})`,
    `  folders   ${report.folders.join(', ')}`,
    `  new mail  ${report.idle ? 'the server tells of it (IDLE)' : 'asked for each minute: the server has no IDLE'}`,
    `  extras    ${report.capabilities.filter((name) => name !== 'IDLE').join(', ') || 'none'}`,
    '  next      mailgress status',
  );
}

function bodyOf(options: ImapOptions): Record<string, unknown> {
  const { provider, host, port, security, folders, since, standby } = options;
  if (port !== undefined && !/^\d{1,5}$/.test(port)) {
    throw new MailgressError('usage', `--port ${port}: must be a number`);
  }
  return {
    kind: 'imap',
    provider,
    host,
    port: port === undefined ? undefined : Number(port),
    security,
    folders: folders?.split(',').map((path) => ({ path: path.trim() })),
    since: since === undefined ? undefined : parseTime('--since', since),
    standby,
  };
}

async function readPassword(prompt: string): Promise<string> {
  const password = process.stdin.isTTY
    ? await ask(prompt)
    : ((await text(process.stdin)).split(/\r?\n/)[0] ?? '');
  if (password === '')
    throw new MailgressError('usage', 'No password: type it, or give it on standard input');
  return password;
}

/** Asks without showing what is typed. */
async function ask(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await lines.question('');
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}
