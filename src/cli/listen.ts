import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { readConfig } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import { openDataDirectory } from '../ops/data-directory.ts';
import { version } from '../version.ts';
import type { Client } from './client.ts';
import { type ClientOptions, clientCommand, withClient } from './client-command.ts';
import { describeEvent } from './event-line.ts';
import { followEvents, type LoggedEvent } from './follow-events.ts';
import { type Forwarded, forwardEvent } from './forward.ts';
import { findStatePath, type ListenState, readState, writeState } from './listen-state.ts';
import { colour, say, sayJson } from './print.ts';
import { stopSignal, tellBreak } from './tail.ts';

type ListenOptions = ClientOptions & {
  forward: string;
  types?: string;
  since?: string;
  state?: string;
  skipRefused?: boolean;
};

/** A program that is being restarted is soon back; one that is down over night need not be asked each second. */
const WAITS_MS = { first: 500, longest: 30_000 };

/** `listen`: events to a program on this machine, which no public URL reaches. */
export function addListenCommand(program: Command): void {
  clientCommand(program, 'listen', 'Forward events, signed, to a program on this machine, until Ctrl-C')
    .requiredOption('--forward <url>', 'where the program takes webhooks')
    .option('--types <types>', 'comma-separated event types; else all')
    .option(
      '--since <cursor>',
      'begin behind this event, at `start` or `now`; else where the last run stopped',
    )
    .option('--state <file>', 'where its place and secret are kept; else in the data directory')
    .option(
      '--skip-refused',
      'go on to the next event after an answer that is not 2xx, instead of trying again',
    )
    .addHelpText('after', '\nExample:\n  mailgress listen --forward http://localhost:3000/hook\n')
    .action(withClient((client, options: ListenOptions) => listen(client, options)));
}

async function listen(client: Client, options: ListenOptions): Promise<void> {
  const url = parseForward(options.forward);
  const { dataDirectory } = readConfig();
  const path = options.state ?? findStatePath(await openDataDirectory(dataDirectory), client.url, url);
  const state = await readState(path, client.url, url);
  // Before anything is signed with it.
  await writeState(path, state);
  const signal = stopSignal();
  const after = options.since ?? state.cursor ?? 'now';
  if (options.json) sayJson({ service: client.url, forward: url, secret: state.secret, after, state: path });
  else {
    say(
      `Events of ${client.url} go to ${url}; Ctrl-C ends it, and the next run goes on from there.`,
      `  verify with  ${state.secret}`,
    );
  }
  const { types } = options;
  for await (const { cursor, event } of followEvents(client, { after, types, signal, onBreak: tellBreak })) {
    if (event !== undefined && !(await forwardUntilTaken(event, state, options, signal))) return;
    if (cursor !== state.cursor) await writeState(path, Object.assign(state, { cursor }));
  }
}

/**
 * One event at a time, and none before the one that came first: so nothing is lost, and nothing overtakes.
 *
 * @returns false if it was ended before.
 */
async function forwardUntilTaken(
  event: LoggedEvent,
  { forward: url, secret }: ListenState,
  { json, skipRefused }: ListenOptions,
  signal: AbortSignal,
): Promise<boolean> {
  for (
    let waitMs = WAITS_MS.first, attempt = 1;
    ;
    waitMs = Math.min(waitMs * 2, WAITS_MS.longest), attempt++
  ) {
    const result = await forwardEvent(event, { url, secret, userAgent: `Mailgress/${version}` }, signal);
    if (signal.aborted && !result.isTaken) return false;
    const isDone = result.isTaken || (skipRefused === true && result.status !== null);
    const retryInMs = isDone ? null : waitMs;
    if (json) {
      const { id, type, timestamp, data } = event;
      const { status, error, durationMs } = result;
      const subject = typeof data.subject === 'string' ? data.subject : null;
      sayJson({ timestamp, type, id, subject, attempt, status, error, durationMs, retryInMs });
    } else say(`${describeEvent(event)}  ${describeResult(result, retryInMs)}`);
    if (isDone) return true;
    await wait(waitMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return false;
  }
}

function describeResult({ isTaken, status, error, durationMs }: Forwarded, retryInMs: number | null): string {
  const answer = colour(isTaken ? 'green' : 'red', status === null ? `${error}` : String(status));
  const again = retryInMs === null ? '' : `; again in ${retryInMs / 1000} s`;
  return `${answer} in ${durationMs} ms${again}`;
}

/** @throws MailgressError `usage` */
function parseForward(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new MailgressError(
      'usage',
      `--forward ${text}: must be a URL that begins with http:// or https://`,
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new MailgressError('usage', '--forward: must have no user name and password in it');
  }
  return url.href;
}
