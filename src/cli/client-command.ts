import { Command } from 'commander';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import { mailboxSchema } from '../core/resources.ts';
import { version } from '../version.ts';
import { type Client, createClient } from './client.ts';

/** What every command takes that talks to a running service. */
export type ClientOptions = { url?: string; token?: string; json?: boolean };

export function clientCommand(parent: Command, nameAndArguments: string, description: string): Command {
  return parent
    .command(nameAndArguments)
    .description(description)
    .option(
      '--url <url>',
      'where the service runs; else MAILGRESS_PUBLIC_URL, else as the data directory says',
    )
    .option('--token <key>', 'an API key; else MAILGRESS_ADMIN_TOKEN, else as the data directory says')
    .option('--json', 'print JSON');
}

/** The action of a client command: `run` with the service, the options, and the first argument. */
export function withClient<O extends ClientOptions>(
  run: (client: Client, options: O, argument: string) => Promise<void>,
): (...given: unknown[]) => Promise<void> {
  return async (...given) => {
    // commander hands over the arguments, the options, and last the command itself.
    const command = given.at(-1);
    if (!(command instanceof Command)) throw new MailgressError('internal', 'not called by commander');
    const options = command.opts<O>();
    try {
      await run(await createClient(readConfig(), options), options, command.args[0] ?? '');
    } catch (error) {
      if (!(error instanceof z.ZodError)) throw error;
      const message = `The service answers in another way than mailgress ${version} knows: are both the same version?`;
      throw new MailgressError('service_unavailable', message, { cause: error });
    }
  };
}

/** Every page of a list. */
export async function listAll<T>(client: Client, path: string, item: z.ZodType<T>): Promise<T[]> {
  const pageSchema = z.object({ data: z.array(item), next: z.string().nullable() });
  const all: T[] = [];
  for (let after = ''; ; ) {
    const page = pageSchema.parse(
      await client.call('GET', `${path}${path.includes('?') ? '&' : '?'}limit=500${after}`),
    );
    all.push(...page.data);
    if (page.next === null) return all;
    after = `&after=${page.next}`;
  }
}

/** @throws MailgressError `bad_request` if no mailbox, or more than one tenant's, has the address. */
export async function findMailboxId(client: Client, addressOrId: string): Promise<string> {
  if (addressOrId.startsWith('mbx_')) return addressOrId;
  const mailboxes = await listAll(client, '/v1/mailboxes', mailboxSchema);
  const found = mailboxes.filter(({ address }) => address.toLowerCase() === addressOrId.toLowerCase());
  const [first] = found;
  if (first !== undefined && found.length === 1) return first.id;
  throw new MailgressError(
    'bad_request',
    found.length === 0
      ? `There is no mailbox ${addressOrId}: add it with \`mailgress mailbox add ${addressOrId}\``
      : `Several tenants have a mailbox ${addressOrId}: name one by its id (\`mailgress mailbox list\`)`,
  );
}
