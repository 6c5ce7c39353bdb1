import { existsSync } from 'node:fs';
import { pino } from 'pino';
import { type Config, readConfig } from '../config.ts';
import { describeError, MailgressError } from '../core/errors.ts';
import { type Id, isId } from '../core/ids.ts';
import { createKeyring } from '../core/sealed.ts';
import { createEgress } from '../deliver/egress.ts';
import { configurationFaults } from '../doctor/configuration.ts';
import { type Examination, examine } from '../doctor/doctor.ts';
import { createSecrets } from '../doctor/hide-secrets.ts';
import { fail, type Report, toReport } from '../doctor/report.ts';
import { toLine } from '../doctor/run-checks.ts';
import { doctorTools } from '../doctor-tools.ts';
import { readInstance } from '../ops/data-directory.ts';
import { openDatabase } from '../store/database.ts';
import { coreOptionsOf } from './core-options.ts';
import { linesOfReport } from './doctor-lines.ts';
import { type OpenedDatabase, openConfiguredDatabase } from './open-database.ts';
import { say, sayJson } from './print.ts';

/** Below what sysexits(3) begins with. */
const MOST_FAILURES = 63;

/**
 * `doctor`: prints what is wrong, and what to do about it. End the process then: a check that was given up may still hold it.
 *
 * @returns the exit code: the number of failures; warnings do not count.
 */
export async function doctor({
  json,
  sendTests = false,
  live = false,
  source,
}: {
  json?: boolean;
  sendTests?: boolean;
  live?: boolean;
  source?: string;
}): Promise<number> {
  const only = source === undefined ? undefined : parseSource(source);
  const startedMs = performance.now();
  const report = await examineConfigured(readConfig, { only, sendTests, isLive: live });
  if (json) sayJson(report);
  else say(...linesOfReport(report, (performance.now() - startedMs) / 1000));
  // A pipe takes it when its reader does.
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  return exitCodeOf(report);
}

export function exitCodeOf({ failures }: Report): number {
  return Math.min(failures, MOST_FAILURES);
}

/**
 * The configuration that `read` answers, then its database, then all that is in it; what keeps the rest from being looked
 * at is a line as well.
 *
 * @param imapCa as `CoreOptions` has it, for tests.
 */
export async function examineConfigured(
  read: () => Config,
  what: Examination,
  imapCa?: string,
): Promise<Report> {
  const secrets = createSecrets();
  let config: Config;
  try {
    config = read();
    // Throws for what is no network and no host, as a start would.
    createEgress({ allow: config.egressAllow, allowLoopback: false });
  } catch (error) {
    if (!(error instanceof MailgressError) || error.code !== 'configuration') throw error;
    return toReport(configurationFaults(error, secrets));
  }
  const server = { id: 'database.reach', area: 'database', subject: 'server' } as const;
  // Whoever looks for faults makes no database.
  if (config.database.kind === 'embedded' && !existsSync(config.dataDirectory)) {
    const advice = '`mailgress all` makes one; or set DATABASE_URL, or MAILGRESS_DATA_DIR to where it is';
    return toReport([toLine(server, fail(`there is none in ${config.dataDirectory} yet`, advice), secrets)]);
  }
  let opened: OpenedDatabase;
  try {
    opened = await openConfiguredDatabase(config, 'join', () => {});
  } catch (error) {
    // The embedded one has to be started first.
    const advice = 'see its log in the data directory; nothing else was looked at';
    return toReport([toLine(server, fail(describeError(error), advice), secrets)]);
  }
  try {
    return await examineOpened(config, opened, what, imapCa);
  } finally {
    await opened.stop();
  }
}

async function examineOpened(
  config: Config,
  opened: OpenedDatabase,
  what: Examination,
  imapCa: string | undefined,
): Promise<Report> {
  const core = coreOptionsOf(config, opened, pino({ level: 'silent' }));
  const { secretKeys, egressAllow, allowLoopback } = core;
  const base = {
    database: openDatabase(opened.url),
    keyring: createKeyring(secretKeys),
    egress: createEgress({ allow: egressAllow, allowLoopback }),
  };
  const publicUrl = await findPublicUrl(config, opened);
  const { pubsub, metricsToken, sourceSecret } = config;
  const options = {
    ...core,
    ...(imapCa !== undefined && { imapCa }),
    pubsub,
    adminToken: opened.adminToken,
    secrets: [metricsToken, sourceSecret],
  };
  try {
    return await examine(doctorTools(options, base, () => publicUrl)(), what);
  } finally {
    await base.database.close();
  }
}

/** As the service would say it; of one that runs on this data directory, where it listens. */
async function findPublicUrl(config: Config, { dataDirectory }: OpenedDatabase): Promise<string> {
  if (config.publicUrl !== undefined) return config.publicUrl;
  const instance = dataDirectory === undefined ? undefined : await readInstance(dataDirectory);
  if (instance !== undefined) return instance.url;
  const host = config.host === '0.0.0.0' || config.host === '::' ? 'localhost' : config.host;
  return `http://${host.includes(':') ? `[${host}]` : host}:${config.port}`;
}

/** @throws MailgressError `usage` */
function parseSource(text: string): Id<'src'> {
  if (isId('src', text)) return text;
  throw new MailgressError('usage', `--source ${text}: must be an id, src_ and 32 hex digits`);
}
