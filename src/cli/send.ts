import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import { z } from 'zod';
import { type Config, readConfig } from '../config.ts';
import { describeError, MailgressError } from '../core/errors.ts';
import { mailboxSchema } from '../core/resources.ts';
import { openDataDirectory } from '../ops/data-directory.ts';
import { type Client, postSigned } from './client.ts';
import { type ClientOptions, clientCommand, listAll, withClient } from './client-command.ts';
import { say, sayJson } from './print.ts';

/** The mailbox and source that are made for whoever sends a first mail; its secret is kept in the data directory. */
const FIRST_ADDRESS = 'hello@mailgress.test';
const FIRST_SOURCE_FILE = 'first-source.json';
const sourceSchema = z.object({ id: z.string(), secret: z.string() });
type SigningSource = z.infer<typeof sourceSchema>;

/** `send`: posts a mail to a source of kind raw, signed, and says what became of it. */
export function addSendCommand(program: Command): void {
  clientCommand(program, 'send <file>', 'Send a mail, signed: the quickest way to see a first one through')
    .option(
      '--source <id>',
      'a source of kind raw, its secret in MAILGRESS_SOURCE_SECRET; else one is made for you',
    )
    .addHelpText('after', '\nExamples:\n  mailgress send examples/hello.eml\n  mailgress send - < mail.eml')
    .action(
      withClient(async (client, options: ClientOptions & { source?: string }, file) => {
        const config = readConfig();
        const mail = await readMail(file);
        const source =
          options.source === undefined
            ? await firstSource(config, client)
            : { id: options.source, secret: secretOf(config) };
        const [result] = await postSigned(client, 'raw', source, mail);
        if (options.json) return sayJson(result);
        say(`${result?.status} ${result?.messageId ?? result?.reason}`);
        if (result?.messageId !== undefined) {
          say(
            `  see it   curl -H "Authorization: Bearer $KEY" ${client.url}/v1/messages/${result.messageId}`,
          );
        }
      }),
    );
}

async function readMail(file: string): Promise<Buffer> {
  const mail = await readInput(file);
  // A header (RFC 5322, 2.2), or the line that mbox puts above; a byte order mark and blank lines are forgiven.
  if (/^(?:\xef\xbb\xbf)?\s*(?:[!-9;-~]+[ \t]*:|From )/.test(mail.toString('latin1', 0, 1000))) return mail;
  throw new MailgressError('bad_request', `${file} is no mail: it does not begin with a header`);
}

async function readInput(file: string): Promise<Buffer> {
  try {
    return file === '-' ? await buffer(process.stdin) : await readFile(file);
  } catch (cause) {
    throw new MailgressError('no_input', `Cannot read ${file}: ${describeError(cause)}`, { cause });
  }
}

function secretOf(config: Config): string {
  if (config.sourceSecret !== undefined) return config.sourceSecret;
  throw new MailgressError(
    'usage',
    'With --source, set MAILGRESS_SOURCE_SECRET to the secret its creation answered',
  );
}

/** The source kept from an earlier call if it is still there, else a new one. */
async function firstSource(config: Config, client: Client): Promise<SigningSource> {
  const path = join(config.dataDirectory, FIRST_SOURCE_FILE);
  const kept = await readFile(path, 'utf8')
    .then((json) => sourceSchema.safeParse(JSON.parse(json)).data)
    .catch(() => undefined);
  if (kept !== undefined && (await isThere(client, kept.id))) return kept;

  const source = sourceSchema.parse(
    await client.call('POST', `/v1/mailboxes/${await firstMailbox(client)}/sources`, { kind: 'raw' }),
  );
  // With --url and --token this machine may have none yet.
  await openDataDirectory(config.dataDirectory);
  await writeFile(path, JSON.stringify(source), { mode: 0o600 });
  return source;
}

async function isThere(client: Client, sourceId: string): Promise<boolean> {
  try {
    await client.call('GET', `/v1/sources/${sourceId}`);
    return true;
  } catch (error) {
    if (error instanceof MailgressError && error.code === 'not_found') return false;
    throw error;
  }
}

async function firstMailbox(client: Client): Promise<string> {
  const mailboxes = await listAll(client, '/v1/mailboxes', mailboxSchema);
  const found = mailboxes.find(({ address }) => address === FIRST_ADDRESS);
  return (
    found ?? mailboxSchema.parse(await client.call('POST', '/v1/mailboxes', { address: FIRST_ADDRESS }))
  ).id;
}
