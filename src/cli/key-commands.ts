import type { Command } from 'commander';
import { z } from 'zod';
import { apiKeySchema, type Role } from '../core/api-key.ts';
import { type ClientOptions, clientCommand, listAll, withClient } from './client-command.ts';
import { ago, say, sayJson, table } from './print.ts';

type KeyOptions = ClientOptions & { role: Role; tenant?: string; description: string };

/** `key`: who else may call the API, and what they may. */
export function addKeyCommands(key: Command): void {
  clientCommand(key, 'add', 'Make a key')
    .requiredOption('--role <role>', 'reader, operator, or admin')
    .option('--tenant <name>', 'of this tenant alone; else as the key that asks')
    .option('--description <text>', 'for whoever looks at the list', '')
    .addHelpText('after', '\nExample:\n  mailgress key add --role reader --tenant acme --description "CRM"\n')
    .action(
      withClient(async (client, { role, tenant, description, json }: KeyOptions) => {
        const body = { role, tenant, description };
        const made = apiKeySchema
          .extend({ key: z.string() })
          .parse(await client.call('POST', '/v1/keys', body));
        if (json) return sayJson(made);
        say(
          `${made.id}  ${made.role}  ${made.tenant ?? 'all tenants'}`,
          `  key      ${made.key}`,
          '  It is shown now and not again.',
          `  take it back with   mailgress key revoke ${made.id}`,
        );
      }),
    );
  clientCommand(key, 'list', 'List keys, newest first').action(
    withClient(async (client, options) => {
      const keys = await listAll(client, '/v1/keys', apiKeySchema);
      if (options.json) return sayJson(keys);
      const now = new Date();
      const rows = keys.map(({ id, role, tenant, lastUsedAt, description }) => [
        id,
        role,
        tenant ?? 'all',
        ago(lastUsedAt, now),
        description,
      ]);
      say(...table(['ID', 'ROLE', 'TENANT', 'LAST USED', 'DESCRIPTION'], rows));
    }),
  );
  clientCommand(key, 'revoke <id>', 'Take a key back: its next request is refused').action(
    withClient(async (client, options, id) => {
      await client.call('DELETE', `/v1/keys/${encodeURIComponent(id)}`);
      if (options.json) return sayJson({ id, revoked: true });
      say(`${id} is revoked`);
    }),
  );
}
