import { MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import { withDeadline } from '../store/deadline.ts';
import { MAX_SOURCES, readSourceFacts, type SourceFacts } from '../store/source-facts.ts';
import { type EndpointFacts, MAX_ENDPOINTS, readEndpointFacts } from '../store/standing.ts';
import { describeStoreError } from '../store/unavailable.ts';
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
import { pushRoundTripChecks } from './push-round-trip.ts';
import { fail, type Line, type Report, toReport, warn } from './report.ts';
import { type Check, DEFAULT_LIMITS, type Limits, runChecks, toLine } from './run-checks.ts';

export type Examination = {
  /** One source alone, which is logged in to whatever became of the last tries. */
  only?: Id<'src'> | undefined;
  /** Endpoints are sent a test event; else they are only connected to. */
  sendTests?: boolean;
  /** Gmail is asked for a push, which is waited for. */
  isLive?: boolean;
  pushPatienceMs?: number | undefined;
  limits?: Limits;
};

/**
 * Looks at everything, and says of each thing how it is and what to do about it. Beside test events and pushes, where these are
 * asked for, and a refresh token that a provider renews meanwhile, it changes nothing; each source is logged in to at most once.
 *
 * Whether the tables can be used is found out first: where not, what is in them is not looked at, and the line says so.
 *
 * @throws MailgressError `not_found` for a source that is not there. Nothing else: what fails is a line.
 */
export async function examine(tools: DoctorTools, what: Examination = {}): Promise<Report> {
  const { limits = DEFAULT_LIMITS } = what;
  const secrets = secretsOf(tools);
  const run = (checks: readonly Check[]) => runChecks(checks, secrets, limits);
  const first = await run([reachCheck(tools)]);
  if (isWell(first)) first.push(...(await run(schemaChecks(tools))));
  if (!isWell(first)) {
    return toReport([
      ...first,
      ...(await run([...configurationChecks(tools), ...publicUrlChecks(tools, [])])),
    ]);
  }
  const content = await readContent(tools, what, limits.checkMs);
  if (content instanceof Error) {
    const found = fail(`no longer answers: ${describeStoreError(content)}`, 'look whether it is overloaded');
    return toReport([...first, toLine(contentCheck, found, secrets)]);
  }
  const { only, sendTests = false, isLive = false, pushPatienceMs } = what;
  const { sources, endpoints } = content;
  if (only !== undefined && sources.length === 0) {
    throw new MailgressError('not_found', `There is no source ${only}`);
  }
  const context: DoctorContext = { ...tools, secrets, only, sendTests, pushPatienceMs, sources };
  const checks = [...checksOf(context, endpoints), ...(isLive ? pushRoundTripChecks(context) : [])];
  return toReport([...first, ...(await run(checks))]);
}

const contentCheck = { id: 'database.content', area: 'database', subject: 'content' } as const;

type Content = { sources: SourceFacts[]; endpoints: EndpointFacts[] };

/** What there is to look at. A database that has answered before may be gone by now. */
async function readContent(
  { database: { sql } }: DoctorTools,
  { only }: Examination,
  deadlineMs: number,
): Promise<Content | Error> {
  try {
    const reading = Promise.all([
      readSourceFacts(sql, only),
      only === undefined ? readEndpointFacts(sql) : [],
    ]);
    const [sources, endpoints] = await withDeadline(reading, deadlineMs);
    return { sources, endpoints };
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Nothing is left out in silence. */
function completenessChecks({ sources }: DoctorContext, endpoints: readonly EndpointFacts[]): Check[] {
  const isWhole = sources.length < MAX_SOURCES && endpoints.length < MAX_ENDPOINTS;
  if (isWhole) return [];
  const look = () =>
    warn(
      `there is more than is looked at: ${MAX_SOURCES} sources, ${MAX_ENDPOINTS} endpoints`,
      'look at a source with `mailgress doctor --source ID`, and at all of them with `mailgress status`',
    );
  return [{ ...contentCheck, look }];
}

function checksOf(context: DoctorContext, endpoints: readonly EndpointFacts[]): Check[] {
  const ofSources = [...gmailChecks(context), ...appsScriptChecks(context), ...imapChecks(context)];
  if (context.only !== undefined) return ofSources;
  return [
    ...configurationChecks(context),
    storedSecretsCheck(context),
    ...serverChecks(context),
    ...completenessChecks(context, endpoints),
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
  const password = URL.parse(databaseUrl)?.password ?? '';
  secrets.add(password, /%(?![0-9a-f]{2})/i.test(password) ? undefined : decodeURIComponent(password));
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
