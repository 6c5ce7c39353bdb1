import type { Command } from 'commander';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import {
  attemptSchema,
  deliverySchema,
  endpointSchema,
  mailboxSchema,
  sourceSchema,
} from '../core/resources.ts';
import type { Client } from './client.ts';
import { type ClientOptions, clientCommand, findMailboxId, listAll, withClient } from './client-command.ts';
import { addGmailSource, type GmailOptions } from './connect.ts';
import { ago, say, sayJson, table } from './print.ts';

/** The commands that make and list what the API has: mailbox, source, endpoint. */
export function addResourceCommands(program: Command): void {
  addMailboxCommands(program.command('mailbox').description('The addresses whose mail comes here'));
  addSourceCommands(program.command('source').description('The ways in which the mail of a mailbox comes'));
  addEndpointCommands(program.command('endpoint').description('The URLs that events are sent to'));
}

type MailboxOptions = { tenant: string; authenticationServers?: string };

function addMailboxCommands(mailbox: Command): void {
  clientCommand(mailbox, 'add <address>', 'Add a mailbox')
    .option('--tenant <name>', 'whose it is', 'default')
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
          `  next   mailgress source add --mailbox ${made.address} --kind raw|apps-script|gmail`,
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

function addSourceCommands(source: Command): void {
  clientCommand(source, 'add', 'Add a source to a mailbox')
    .requiredOption('--mailbox <address or id>', 'of which mailbox')
    .requiredOption(
      '--kind <kind>',
      'raw (any program that has RFC 5322 bytes), apps-script (Gmail pushes), or gmail (read by consent)',
    )
    .option('--service-account', 'gmail: read in the name of the service account; nobody is asked')
    .option('--timeout <seconds>', 'gmail: how long to wait for the consent', '300')
    .addHelpText(
      'after',
      `
Examples:
  mailgress source add --mailbox me@example.com --kind raw
  mailgress source add --mailbox me@example.com --kind gmail    asks for consent, in a browser
`,
    )
    .action(
      withClient(async (client, options: ClientOptions & GmailOptions & { kind: string }) => {
        if (options.kind === 'gmail') return addGmailSource(client, options);
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
    ['start', 'Take mail again'],
    ['stop', 'Refuse mail, so that the sender keeps it'],
  ] as const) {
    clientCommand(source, `${verb} <id>`, summary).action(
      withClient(async (client, options, id) => {
        const changed = sourceSchema.parse(
          await client.call('POST', `/v1/sources/${encodeURIComponent(id)}/${verb}`),
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

function addEndpointCommands(endpoint: Command): void {
  clientCommand(endpoint, 'add <url>', 'Send events to a URL')
    .option('--types <types>', 'comma-separated event types', 'message.received')
    .option('--tenant <name>', 'events of this tenant alone')
    .option('--description <text>', 'for whoever looks at the list', '')
    .addHelpText('after', '\nExample:\n  mailgress endpoint add http://127.0.0.1:3000/hook\n')
    .action(
      withClient(
        async (
          client,
          options: ClientOptions & { types: string; tenant?: string; description: string },
          url,
        ) => {
          const { types, tenant = null, description } = options;
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
