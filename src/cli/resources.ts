import type { Command } from 'commander';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { attemptSchema, deliverySchema, endpointSchema, mailboxSchema } from '../core/resources.ts';
import type { Client } from './client.ts';
import { type ClientOptions, clientCommand, listAll, withClient } from './client-command.ts';
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

function addEndpointCommands(endpoint: Command): void {
  clientCommand(endpoint, 'add <url>', 'Send events to a URL')
    .option('--types <types>', 'comma-separated event types', 'message.received')
    .option('--tenant <name>', "events of this tenant alone; else of the key's, or of all")
    .option('--description <text>', 'for whoever looks at the list', '')
    .addHelpText('after', '\nExample:\n  mailgress endpoint add http://127.0.0.1:3000/hook\n')
    .action(
      withClient(
        async (
          client,
          options: ClientOptions & { types: string; tenant?: string; description: string },
          url,
        ) => {
          const { types, tenant, description } = options;
          const body = { url, types: types.split(','), tenant, description };
          const made = endpointSchema
            .extend({ secret: z.string() })
            .parse(await client.call('POST', '/v1/endpoints', body));
          if (options.json) return sayJson(made);
          say(
            `${made.id}  ${made.url}`,
            `  secret   ${made.secret}`,
            '  The secret verifies our signatures. It is shown now and not again.',
            `  next     mailgress endpoint test ${made.id}`,
          );
        },
      ),
    );
  clientCommand(endpoint, 'list', 'List endpoints, newest first').action(
    withClient(async (client, options) => {
      const endpoints = await listAll(client, '/v1/endpoints', endpointSchema);
      if (options.json) return sayJson(endpoints);
      const rows = endpoints.map(({ id, url, enabled, disabledReason, types }) => [
        url,
        enabled ? 'enabled' : `disabled: ${disabledReason}`,
        types.join(','),
        id,
      ]);
      say(...table(['URL', 'STATE', 'TYPES', 'ID'], rows));
    }),
  );
  clientCommand(endpoint, 'test <id>', 'Send an endpoint.test event, and say what came back').action(
    withClient(async (client, options, id) => {
      const queued = z
        .object({ deliveryId: z.string() })
        .parse(await client.call('POST', `/v1/endpoints/${encodeURIComponent(id)}/test`));
      const attempt = await waitForAttempt(client, queued.deliveryId);
      if (options.json) return sayJson(attempt);
      say(
        `${attempt.statusCode ?? attempt.errorCode} in ${attempt.durationMs} ms  ${attempt.error ?? 'delivered'}`,
      );
      const isDelivered =
        attempt.statusCode !== null && attempt.statusCode >= 200 && attempt.statusCode < 300;
      if (!isDelivered) throw new MailgressError('bad_request', 'The endpoint did not take the event');
    }),
  );
}

/** An attempt takes 15 s at the longest; the wait ends a little later. */
async function waitForAttempt(client: Client, deliveryId: string): Promise<z.infer<typeof attemptSchema>> {
  const schema = deliverySchema.extend({ attempts: z.array(attemptSchema) });
  const endsMs = performance.now() + 20_000;
  for (let waitMs = 20; performance.now() < endsMs; waitMs = Math.min(waitMs * 2, 500)) {
    const { attempts } = schema.parse(await client.call('GET', `/v1/deliveries/${deliveryId}`));
    const [first] = attempts;
    if (first !== undefined) return first;
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
  throw new MailgressError('service_unavailable', 'No attempt was made in 20 s: does a dispatcher run?');
}
