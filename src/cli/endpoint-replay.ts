import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { type Replay, replaySchema } from '../core/resources.ts';
import { type ClientOptions, clientCommand, findMailboxId, withClient } from './client-command.ts';
import { say, sayJson } from './print.ts';
import { parseTime } from './time-option.ts';

type ReplayOptions = ClientOptions & {
  since: string;
  until?: string;
  mailbox?: string;
  ignoreRules?: boolean;
  wait?: boolean;
};

export function addReplayCommand(endpoint: Command): void {
  clientCommand(endpoint, 'replay <id>', 'Send old events to an endpoint again, under the ids they had')
    .requiredOption('--since <time>', 'events from then on, as 2026-11-01T00:00:00Z or 2026-11-01')
    .option('--until <time>', 'up to then; else up to now')
    .option('--mailbox <address or id>', 'of this mailbox alone')
    .option('--ignore-rules', "also what the endpoint's rules leave out or hold")
    .option('--wait', 'until it has come to its end')
    .action(
      withClient(async (client, options: ReplayOptions, id) => {
        const { ignoreRules } = options;
        const since = parseTime('--since', options.since);
        const until = options.until === undefined ? undefined : parseTime('--until', options.until);
        const mailbox =
          options.mailbox === undefined ? undefined : await findMailboxId(client, options.mailbox);
        const path = `/v1/endpoints/${encodeURIComponent(id)}/replay`;
        const body = { since, until, mailbox, ignoreRules };
        let replay = replaySchema.parse(await client.call('POST', path, body));
        while (options.wait && replay.status === 'running') {
          await wait(500);
          replay = replaySchema.parse(await client.call('GET', `/v1/replays/${replay.id}`));
        }
        if (options.json) return sayJson(replay);
        say(`${replay.id}  ${replay.status}  ${progressOf(replay)}`);
      }),
    );
}

function progressOf({ total, sent, skipped, failed }: Replay): string {
  const others = [skipped > 0 && `${skipped} skipped`, failed > 0 && `${failed} failed`].filter(Boolean);
  return [`${sent} of ${total} sent`, ...others].join(', ');
}
