import { MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import { readSourceFacts } from '../store/source-facts.ts';
import { type EndpointFacts, readEndpointFacts } from '../store/standing.ts';
import { appsScriptChecks } from './apps-script.ts';
import { configurationChecks, storedSecretsCheck } from './configuration.ts';
import type { DoctorContext, DoctorTools } from './context.ts';
import { reachCheck, schemaChecks, serverChecks } from './database.ts';
import { egressChecks } from './egress.ts';
import { endpointChecks } from './endpoints.ts';
import { gmailChecks } from './gmail.ts';
import { createSecrets, type Secrets } from './hide-secrets.ts';
import { imapChecks } from './imap.ts';
import { keyChecks } from './keys.ts';
import { mailChecks } from './mail.ts';
import { publicUrlChecks } from './public-url.ts';
import { pubsubChecks } from './pubsub.ts';
import { type Line, type Report, toReport } from './report.ts';
import { DEFAULT_LIMITS, type Limits, runChecks } from './run-checks.ts';

export type Examination = {
  /** One source alone, which is logged in to whatever became of the last tries. */
  only?: Id<'src'> | undefined;
  /** Endpoints are sent a test event; else they are only connected to. */
  sendTests?: boolean;
  limits?: Limits;
};

/**
 * Looks at everything, and says of each thing how it is and what to do about it. Beside test events, where these are asked
 * for, it changes nothing; each source is logged in to at most once.
 *
 * Whether the tables can be used is found out first: where not, what is in them is not looked at, and the line says so.
 *
 * @throws MailgressError `not_found` for a source that is not there. Nothing else: what fails is a line.
 */
export async function examine(tools: DoctorTools, what: Examination = {}): Promise<Report> {
  const { limits = DEFAULT_LIMITS } = what;
  const secrets = secretsOf(tools);
  const run = (checks: Parameters<typeof runChecks>[0]) => runChecks(checks, secrets, limits);
  const first = await run([reachCheck(tools)]);
  if (isWell(first)) first.push(...(await run(schemaChecks(tools))));
  if (!isWell(first)) {
    return toReport([
      ...first,
      ...(await run([...configurationChecks(tools), ...publicUrlChecks(tools, [])])),
    ]);
  }
  const context: DoctorContext = {
    ...tools,
    secrets,
    only: what.only,
    sendTests: what.sendTests ?? false,
    sources: await readSourceFacts(tools.database.sql, what.only),
  };
  if (what.only !== undefined && context.sources.length === 0) {
    throw new MailgressError('not_found', `There is no source ${what.only}`);
  }
  const endpoints = what.only === undefined ? await readEndpointFacts(tools.database.sql) : [];
  return toReport([...first, ...(await run(checksOf(context, endpoints)))]);
}

function checksOf(context: DoctorContext, endpoints: readonly EndpointFacts[]) {
  const ofSources = [...gmailChecks(context), ...appsScriptChecks(context), ...imapChecks(context)];
  if (context.only !== undefined) return ofSources;
  return [
    ...configurationChecks(context),
    storedSecretsCheck(context),
    ...serverChecks(context),
    ...publicUrlChecks(context, context.sources),
    ...pubsubChecks(context, context.sources),
    ...egressChecks(context, endpoints),
    ...ofSources,
    ...endpointChecks(context, endpoints),
    ...keyChecks(context),
    ...mailChecks(context),
  ];
}

const isWell = (lines: readonly Line[]) => lines.every(({ level }) => level !== 'fail');

/** Those of the settings; credentials are added when they are opened. */
function secretsOf({ settings, databaseUrl }: DoctorTools): Secrets {
  const secrets = createSecrets();
  const { secretKeys, google } = settings;
  secrets.add(...secretKeys, ...settings.secrets, google.client?.secret, google.serviceAccount?.privateKey);
  secrets.add(decodeURIComponent(URL.parse(databaseUrl)?.password ?? ''));
  return secrets;
}

/**
 * The same for who asks over HTTP: one run at a time in a process, which whoever asks meanwhile gets the report of.
 */
export function createDoctor(tools: () => DoctorTools): () => Promise<Report> {
  let running: Promise<Report> | undefined;
  return () => {
    running ??= examine(tools()).finally(() => {
      running = undefined;
    });
    return running;
  };
}
