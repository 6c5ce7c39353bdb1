import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { endpointSchema, type Source, sourceSchema } from '../core/resources.ts';
import type { Client } from './client.ts';
import { type ClientOptions, clientCommand, listAll, withClient } from './client-command.ts';
import { ago, colour, say, sayJson, table } from './print.ts';

type StatusOptions = ClientOptions & { tenant?: string; watch?: string | true };

const WATCH_SECONDS = 2;
/** To the top left corner, and away with what is below what comes now. */
const HOME = '\x1b[H';
const CLEAR_BELOW = '\x1b[J';
const CLEAR_LINE_END = '\x1b[K';

/** `status`: is it well, source by source and endpoint by endpoint. */
export function addStatusCommand(program: Command): void {
  clientCommand(program, 'status', 'Say how the service, its sources and its endpoints are')
    .option('--tenant <name>', 'of this tenant alone')
    .option('--watch [seconds]', `go on, and say it again each ${WATCH_SECONDS} seconds`)
    .action(
      withClient(async (client, options: StatusOptions) => {
        if (options.watch === undefined) return print(await read(client, options), options);
        const seconds = parseSeconds(options.watch);
        const isLive = process.stdout.isTTY && !options.json;
        if (isLive) process.stdout.write(`${HOME}${CLEAR_BELOW}`);
        for (;;) {
          const status = await read(client, options);
          if (isLive) rewrite(linesOf(status));
          else print(status, options);
          await sleep(seconds * 1000);
        }
      }),
    );
}

type Status = {
  url: string;
  status: string;
  sources: Source[];
  endpoints: z.infer<typeof endpointSchema>[];
};

async function read(client: Client, { tenant }: StatusOptions): Promise<Status> {
  const { status } = z.object({ status: z.string() }).parse(await client.call('GET', '/readyz'));
  const query = tenant === undefined ? '' : `?tenant=${encodeURIComponent(tenant)}`;
  const sources = await listAll(client, `/v1/sources${query}`, sourceSchema);
  const endpoints = await listAll(client, '/v1/endpoints', endpointSchema);
  const isWanted = (one: { tenant: string | null }) => tenant === undefined || one.tenant === tenant;
  return { url: client.url, status, sources, endpoints: endpoints.filter(isWanted) };
}

function print(status: Status, { json }: StatusOptions): void {
  if (json) sayJson(status);
  else say(...linesOf(status));
}

/** In the place of what stood there, without a flicker. */
function rewrite(lines: readonly string[]): void {
  const rows = process.stdout.rows ?? lines.length;
  const shown =
    lines.length < rows
      ? lines
      : [...lines.slice(0, rows - 2), `  and ${lines.length - rows + 2} more lines`];
  process.stdout.write(`${HOME}${shown.map((line) => `${line}${CLEAR_LINE_END}\n`).join('')}${CLEAR_BELOW}`);
}

function linesOf({ url, sources, endpoints }: Status): string[] {
  const now = new Date();
  return [
    `${url}  ${colour('green', 'ready')}`,
    '',
    ...table(
      ['SOURCE', 'KIND', 'STATE', 'MODE', 'LAST MAIL', 'ALIVE', 'NEXT TRY', 'LAG', 'FAILED', 'GAPS'],
      sources.map((source) => [
        source.address,
        source.kind,
        source.state,
        source.mode,
        ago(source.lastMessageAt, now),
        ago(source.lastProvenAliveAt, now),
        nextOf(source, now),
        String(source.lag),
        String(source.counts.failed),
        String(source.counts.openGaps),
      ]),
    ),
    ...sources
      .filter(({ reason }) => reason !== null)
      .map(({ address, kind, reason }) => colour('red', `  ${address} (${kind}): ${reason}`)),
    '',
    ...table(
      ['ENDPOINT', 'STATE'],
      endpoints.map(({ url: to, enabled, disabledReason }) => [
        to,
        enabled ? 'enabled' : `disabled: ${disabledReason}`,
      ]),
    ),
  ];
}

/** Of one that waits: in how long it is tried again. */
function nextOf({ nextAttemptAt, state }: Source, now: Date): string {
  if (nextAttemptAt === null || state === 'needs_reauth' || state === 'disabled') return '-';
  const seconds = Math.round((Date.parse(nextAttemptAt) - now.getTime()) / 1000);
  if (seconds <= 0) return 'now';
  return seconds < 120 ? `in ${seconds} s` : `in ${Math.round(seconds / 60)} min`;
}

/** @throws MailgressError `usage` */
function parseSeconds(given: string | true): number {
  if (given === true) return WATCH_SECONDS;
  if (/^[1-9]\d{0,3}$/.test(given)) return Number(given);
  throw new MailgressError('usage', `--watch ${given}: must be a whole number of seconds, from 1 to 9999`);
}
