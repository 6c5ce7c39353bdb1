import type { Command } from 'commander';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { attemptSchema, deliverySchema, type Endpoint, endpointSchema } from '../core/resources.ts';
import type { Client } from './client.ts';
import { type ClientOptions, clientCommand, listAll, withClient } from './client-command.ts';
import { expectEnabled } from './endpoint-enabled.ts';
import { addReplayCommand } from './endpoint-replay.ts';
import { addSettingOptions, type SettingOptions, settingsOf } from './endpoint-settings.ts';
import { say, sayJson, table } from './print.ts';

/** `endpoint`: the URLs that events are sent to. */
export function addEndpointCommands(endpoint: Command): void {
  addAdd(endpoint);
  addList(endpoint);
  addUpdate(endpoint);
  addTest(endpoint);
  addReplayCommand(endpoint);
}

function addAdd(endpoint: Command): void {
  const command = clientCommand(endpoint, 'add <url>', 'Send events to a URL').option(
    '--tenant <name>',
    "events of this tenant alone; else of the key's, or of all",
  );
  addSettingOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  mailgress endpoint add http://127.0.0.1:3000/hook
  mailgress endpoint add https://example.com/hook --order mailbox --header 'X-Api-Key: 123'
  mailgress endpoint add https://example.com/hook --rules '{"senders": ["@example.com"], "placement": ["inbox"]}'
`,
    )
    .action(
      withClient(async (client, options: ClientOptions & SettingOptions & { tenant?: string }, url) => {
        const body = { url, tenant: options.tenant, ...(await settingsOf(options)) };
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
      }),
    );
}

function addList(endpoint: Command): void {
  clientCommand(endpoint, 'list', 'List endpoints, newest first').action(
    withClient(async (client, options) => {
      const endpoints = await listAll(client, '/v1/endpoints', endpointSchema);
      if (options.json) return sayJson(endpoints);
      const rows = endpoints.map((one) => [one.url, stateOf(one), one.types.join(','), one.id]);
      say(...table(['URL', 'STATE', 'TYPES', 'ID'], rows));
    }),
  );
}

function addUpdate(endpoint: Command): void {
  const command = clientCommand(endpoint, 'update <id>', 'Change an endpoint: what is given, nothing else')
    .option('--to <url>', 'send there from now on')
    .option('--enable', 'send again, first what is pending')
    .option('--disable', 'stop sending, and keep what is pending');
  addSettingOptions(command).action(
    withClient(
      async (
        client,
        options: ClientOptions & SettingOptions & { to?: string; enable?: boolean; disable?: boolean },
        id,
      ) => {
        const path = `/v1/endpoints/${encodeURIComponent(id)}`;
        const change = {
          ...(options.to !== undefined && { url: options.to }),
          ...(await settingsOf(options)),
        };
        const verbs = [options.enable && 'enable', options.disable && 'disable'].filter(Boolean);
        if (verbs.length > 1) throw new MailgressError('usage', 'Either --enable or --disable');
        if (Object.keys(change).length + verbs.length === 0) {
          throw new MailgressError('usage', 'Nothing to change: see mailgress endpoint update --help');
        }
        let changed = endpointSchema.parse(await client.call('PATCH', path, change));
        for (const verb of verbs) {
          changed = endpointSchema.parse(await client.call('POST', `${path}/${verb}`));
        }
        if (options.json) return sayJson(changed);
        say(`${changed.id}  ${changed.url}  ${stateOf(changed)}`);
      },
    ),
  );
}

function stateOf({ enabled, disabledReason, failingSince }: Endpoint): string {
  if (!enabled) return `disabled: ${disabledReason}`;
  return failingSince === null ? 'enabled' : `failing since ${failingSince}`;
}

const IDLE = 'nothing is sent to it';

function addTest(endpoint: Command): void {
  clientCommand(endpoint, 'test <id>', 'Send an endpoint.test event, and say what came back').action(
    withClient(async (client, options, id) => {
      await expectEnabled(client, id, IDLE);
      const queued = z
        .object({ deliveryId: z.string() })
        .parse(await client.call('POST', `/v1/endpoints/${encodeURIComponent(id)}/test`));
      const attempt = await waitForAttempt(client, id, queued.deliveryId);
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
async function waitForAttempt(
  client: Client,
  endpointId: string,
  deliveryId: string,
): Promise<z.infer<typeof attemptSchema>> {
  const schema = deliverySchema.extend({ attempts: z.array(attemptSchema) });
  const endsMs = performance.now() + 20_000;
  for (let waitMs = 20; performance.now() < endsMs; waitMs = Math.min(waitMs * 2, 500)) {
    const { attempts } = schema.parse(await client.call('GET', `/v1/deliveries/${deliveryId}`));
    const [first] = attempts;
    if (first !== undefined) return first;
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
  // It may have been disabled since.
  await expectEnabled(client, endpointId, IDLE);
  throw new MailgressError('service_unavailable', 'No attempt was made in 20 s: does a dispatcher run?');
}
