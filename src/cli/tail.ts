import type { Command } from 'commander';
import { describeError } from '../core/errors.ts';
import { type ClientOptions, clientCommand, withClient } from './client-command.ts';
import { describeEvent } from './event-line.ts';
import { followEvents } from './follow-events.ts';
import { colour, say, sayJson } from './print.ts';
import { watchStopSignal } from './stop-signal.ts';

/** `tail`: the log as it grows, until Ctrl-C. */
export function addTailCommand(program: Command): void {
  clientCommand(program, 'tail', 'Print events as they come, until Ctrl-C')
    .option('--types <types>', 'comma-separated event types; else all')
    .option('--since <cursor>', 'begin behind this event (its `cursor` in --json), or at `start`; else now')
    .addHelpText('after', '\nExample:\n  mailgress tail --types message.received --json\n')
    .action(
      withClient(async (client, options: ClientOptions & { types?: string; since?: string }) => {
        const { types, since: after = 'now', json } = options;
        const signal = stopSignal();
        for await (const { event } of followEvents(client, { after, types, signal, onBreak: tellBreak })) {
          if (event === undefined) continue;
          if (json) sayJson(event);
          else say(`${describeEvent(event)}  ${colour('dim', event.id)}`);
        }
      }),
    );
}

/** Aborted by Ctrl-C or SIGTERM, instead of the end of the process. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  void watchStopSignal().requested.then(() => stop.abort());
  return stop.signal;
}

/** On standard error: what a command prints stays its own. */
export function tellBreak(error: unknown, waitMs: number): void {
  const reason = describeError(error instanceof Error && error.cause !== undefined ? error.cause : error);
  process.stderr.write(`mailgress: lost the service (${reason}); again in ${waitMs / 1000} s\n`);
}
