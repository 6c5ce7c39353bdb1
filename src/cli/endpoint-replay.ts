import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { MailgressError } from '../core/errors.ts';
import { type Replay, replaySchema } from '../core/resources.ts';
import { askPatiently } from './ask-patiently.ts';
import type { Client } from './client.ts';
import { type ClientOptions, clientCommand, findMailboxId, withClient } from './client-command.ts';
import { describeDisabled, expectEnabled, findEndpoint } from './endpoint-enabled.ts';
import { say, sayJson } from './print.ts';
import { parseTime } from './time-option.ts';

type ReplayOptions = ClientOptions & {
  since: string;
  until?: string;
  mailbox?: string;
  ignoreRules?: boolean;
  wait?: boolean;
};

const POLL_MS = 500;
/** So often a person likes to hear. */
const PROGRESS_MS = 5000;

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
        const idle = describeDisabled(await findEndpoint(client, id), 'a replay sends nothing');
        if (options.wait && idle !== undefined) throw new MailgressError('conflict', idle);
        const path = `/v1/endpoints/${encodeURIComponent(id)}/replay`;
        const body = { since, until, mailbox, ignoreRules };
        let replay = replaySchema.parse(await client.call('POST', path, body));
        if (options.wait) replay = await waitForEnd(client, replay);
        if (idle !== undefined) tell(`mailgress: ${idle}`);
        if (options.json) return sayJson(replay);
        say(lineOf(replay));
      }),
    );
}

/**
 * Until nothing of it waits any more. Standard error tells how far it is.
 *
 * @throws MailgressError `conflict` when the endpoint is disabled meanwhile: then it does not end.
 */
async function waitForEnd(client: Client, made: Replay): Promise<Replay> {
  let replay = made;
  let toldMs = Number.NEGATIVE_INFINITY;
  let told = '';
  while (replay.status === 'running') {
    const line = lineOf(replay);
    if (line !== told && performance.now() - toldMs >= PROGRESS_MS) {
      tell(line);
      told = line;
      toldMs = performance.now();
    }
    await wait(POLL_MS);
    const { id, endpointId } = replay;
    replay = replaySchema.parse(await askPatiently(() => client.call('GET', `/v1/replays/${id}`)));
    if (replay.status !== 'running') break;
    const meaning = `replay ${id} stays at ${progressOf(replay)}`;
    await askPatiently(() => expectEnabled(client, endpointId, meaning));
  }
  return replay;
}

/** Standard output is for what came of it. */
function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function lineOf(replay: Replay): string {
  return `${replay.id}  ${replay.status}  ${progressOf(replay)}`;
}

function progressOf({ total, sent, skipped, failed }: Replay): string {
  const others = [skipped > 0 && `${skipped} skipped`, failed > 0 && `${failed} failed`].filter(Boolean);
  return [`${sent} of ${total} sent`, ...others].join(', ');
}
