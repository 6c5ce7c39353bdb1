import type { Command } from 'commander';
import { mailboxSchema } from '../core/resources.ts';
import { type ClientOptions, clientCommand, listAll, withClient } from './client-command.ts';
import { addEndpointCommands } from './endpoint-commands.ts';
import { addKeyCommands } from './key-commands.ts';
import { say, sayJson, table } from './print.ts';
import { addSourceCommands } from './source-commands.ts';

/** The commands that make and list what the API has: mailbox, source, endpoint, key. */
export function addResourceCommands(program: Command): void {
  addMailboxCommands(program.command('mailbox').description('The addresses whose mail comes here'));
  addSourceCommands(program.command('source').description('The ways in which the mail of a mailbox comes'));
  addEndpointCommands(program.command('endpoint').description('The URLs that events are sent to'));
  addKeyCommands(program.command('key').description('Who may call the API, beside the admin key'));
}

type MailboxOptions = { tenant?: string; authenticationServers?: string };

function addMailboxCommands(mailbox: Command): void {
  clientCommand(mailbox, 'add <address>', 'Add a mailbox')
    .option('--tenant <name>', "whose it is; else the key's tenant, else `default`")
    .option(
      '--authentication-servers <ids>',
      'comma-separated authserv-ids whose Authentication-Results count, beside those of the known providers',
    )
    .action(
      withClient(async (client, options: ClientOptions & MailboxOptions, address) => {
        const authenticationServers = options.authenticationServers?.split(',');
        const body = { address, tenant: options.tenant, authenticationServers };
        const made = mailboxSchema.parse(await client.call('POST', '/v1/mailboxes', body));
        if (options.json) return sayJson(made);
        say(
          `${made.id}  ${made.address}`,
          `  next   mailgress source add --mailbox ${made.address} --kind raw|apps-script|gmail|imap`,
        );
      }),
    );
  clientCommand(mailbox, 'list', 'List mailboxes, newest first').action(
    withClient(async (client, options) => {
      const mailboxes = await listAll(client, '/v1/mailboxes', mailboxSchema);
      if (options.json) return sayJson(mailboxes);
      const rows = mailboxes.map(({ id, address, tenant, createdAt }) => [address, tenant, id, createdAt]);
      say(...table(['ADDRESS', 'TENANT', 'ID', 'CREATED'], rows));
    }),
  );
}
