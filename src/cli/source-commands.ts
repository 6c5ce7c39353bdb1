import type { Command } from 'commander';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { imapProviderSchema } from '../core/imap-providers.ts';
import { sourceSchema } from '../core/resources.ts';
import { type ClientOptions, clientCommand, findMailboxId, listAll, withClient } from './client-command.ts';
import { addGmailSource, type GmailOptions } from './connect.ts';
import { addImapSource, type ImapOptions } from './imap-source.ts';
import { ago, say, sayJson, table } from './print.ts';

/** `source`: the ways in which the mail of a mailbox comes. */
export function addSourceCommands(source: Command): void {
  clientCommand(source, 'add', 'Add a source to a mailbox')
    .requiredOption('--mailbox <address or id>', 'of which mailbox')
    .requiredOption(
      '--kind <kind>',
      'raw (any program that has RFC 5322 bytes), apps-script (Gmail pushes), gmail (read by consent), or imap',
    )
    .option('--service-account', 'gmail: read in the name of the service account; nobody is asked')
    .option('--timeout <seconds>', 'gmail, imap --connect: how long to wait for the consent', '300')
    .option('--user <name>', 'imap: who logs in; else the address of the mailbox')
    .option(
      '--provider <name>',
      `imap: ${imapProviderSchema.options.join(', ')}; else as the host or the address tells`,
    )
    .option('--host <name>', "imap: the server; else the provider's, or as the DNS of the address tells")
    .option('--port <number>', 'imap: 993, or 143 without TLS')
    .option('--security <how>', 'imap: tls, starttls, or none (only to hosts that the service allows)')
    .option('--folders <names>', 'imap: comma-separated, the first one idles; else inbox and junk')
    .option('--since <time>', 'imap: mail from then on is read too, as 2026-11-01T00:00:00Z or 2026-11-01')
    .option('--standby', 'imap: sleep while another source of the mailbox is alive')
    .option(
      '--connect <provider>',
      'imap: by consent, microsoft; else a password is asked for, or read from standard input',
    )
    .addHelpText(
      'after',
      `
Examples:
  mailgress source add --mailbox me@example.com --kind raw
  mailgress source add --mailbox me@example.com --kind gmail    asks for consent, in a browser
  mailgress source add --mailbox me@example.com --kind imap     asks for the password, logs in, and says what it found
  mailgress source add --mailbox me@example.com --kind imap --host mail.example.com < password-file
`,
    )
    .action(
      withClient(async (client, options: ClientOptions & GmailOptions & ImapOptions & { kind: string }) => {
        if (options.kind === 'gmail') return addGmailSource(client, options);
        if (options.kind === 'imap') return addImapSource(client, options);
        if (options.serviceAccount)
          throw new MailgressError('usage', '--service-account is for --kind gmail');
        const mailboxId = await findMailboxId(client, options.mailbox);
        const made = sourceSchema
          .extend({ secret: z.string(), ingestUrl: z.string() })
          .parse(await client.call('POST', `/v1/mailboxes/${mailboxId}/sources`, { kind: options.kind }));
        if (options.json) return sayJson(made);
        say(
          `${made.id}  ${made.kind}  ${made.address}`,
          `  post to   ${made.ingestUrl}`,
          `  secret    ${made.secret}`,
          '  The secret is shown now and not again.',
          ...(made.kind === 'apps-script' ? [`  next      mailgress source script ${made.id}`] : []),
        );
      }),
    );
  clientCommand(source, 'list', 'List sources, newest first').action(
    withClient(async (client, options) => {
      const sources = await listAll(client, '/v1/sources', sourceSchema);
      if (options.json) return sayJson(sources);
      const now = new Date();
      const rows = sources.map((one) => [
        one.address,
        one.kind,
        one.state,
        ago(one.lastMessageAt, now),
        ago(one.lastProvenAliveAt, now),
        one.id,
      ]);
      say(...table(['ADDRESS', 'KIND', 'STATE', 'LAST MAIL', 'ALIVE', 'ID'], rows));
    }),
  );
  for (const [verb, summary] of [
    ['start', 'Take or read mail again'],
    ['stop', 'Refuse mail, so that the sender keeps it, or read no more'],
    ['sync', 'Look for mail now; of kinds that read'],
    ['reset', 'Forget how far it has read, and read again; nothing is stored twice'],
  ] as const) {
    clientCommand(source, `${verb} <id>`, summary).action(
      withClient(async (client, options, id) => {
        const changed = sourceSchema.parse(
          await client.call(
            'POST',
            `/v1/sources/${encodeURIComponent(id)}/${verb}`,
            verb === 'sync' ? {} : undefined,
          ),
        );
        if (options.json) return sayJson(changed);
        say(`${changed.id}  ${changed.kind}  ${changed.address}  ${changed.state}`);
      }),
    );
  }
  addScriptCommand(source);
}

/** The script itself on standard output, so that `> Code.js` makes a file of it. */
function addScriptCommand(source: Command): void {
  clientCommand(source, 'script <id>', 'Print the Apps Script of a source, filled in and ready to paste')
    .addHelpText('after', '\nIt holds the secret. See apps-script/README.md for where to paste it.\n')
    .action(
      withClient(async (client, options, id) => {
        const script = await client.getText(
          `/v1/sources/${encodeURIComponent(id)}/apps-script`,
          'text/javascript',
        );
        const [, url] = /^const MAILGRESS_URL = "(http:.*)";$/m.exec(script) ?? [];
        // Google posts from its own machines, and the script posts mail over https alone.
        if (url !== undefined)
          process.stderr.write(`${url} is out of Google's reach: set MAILGRESS_PUBLIC_URL\n`);
        if (options.json) return sayJson({ script });
        say(script.trimEnd());
      }),
    );
}
