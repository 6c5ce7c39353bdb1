import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import type { Client } from './client.ts';
import { type ClientOptions, clientCommand, withClient } from './client-command.ts';
import { colour, say, sayJson, visible } from './print.ts';

const eventSchema = z.object({
  id: z.string(),
  type: z.string(),
  timestamp: z.string(),
  cursor: z.string(),
  data: z.record(z.string(), z.unknown()),
});
const pageSchema = z.object({ data: z.array(eventSchema), next: z.string() });

const POLL_MS = 500;

/** `tail`: the log as it grows, until Ctrl-C. */
export function addTailCommand(program: Command): void {
  clientCommand(program, 'tail', 'Print events as they come, until Ctrl-C')
    .option('--types <types>', 'comma-separated event types; else all')
    .option('--since <cursor>', 'begin behind this event (its `cursor` in --json), or at `start`; else now')
    .addHelpText('after', '\nExample:\n  mailgress tail --types message.received --json\n')
    .action(
      withClient(async (client, options: ClientOptions & { types?: string; since?: string }) => {
        const types = options.types === undefined ? '' : `&types=${encodeURIComponent(options.types)}`;
        let after = options.since === 'start' ? undefined : (options.since ?? 'now');
        for (;;) {
          const page = await readPage(client, after, types);
          for (const event of page.data) {
            if (options.json) sayJson(event);
            else say(describe(event));
          }
          after = page.next;
          if (page.data.length === 0) await wait(POLL_MS);
        }
      }),
    );
}

async function readPage(client: Client, after: string | undefined, types: string) {
  const from = after === undefined ? '' : `&after=${after}`;
  return pageSchema.parse(await client.call('GET', `/v1/events?limit=100${types}${from}`));
}

function describe({ timestamp, type, id, data }: z.infer<typeof eventSchema>): string {
  const text = (key: string) => (typeof data[key] === 'string' ? visible(data[key]) : '');
  const about = type === 'message.received' ? `${text('address')}  ${text('subject')}` : text('reason');
  return `${colour('dim', timestamp)}  ${type}  ${about}  ${colour('dim', id)}`;
}
