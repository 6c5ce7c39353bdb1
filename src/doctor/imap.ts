import { MailgressError } from '../core/errors.ts';
import { IMAP_PRESETS } from '../core/imap-providers.ts';
import { type ImapCredentials, type ImapSettings, imapSettingsSchema } from '../core/imap-settings.ts';
import { openAccess } from '../imap/access.ts';
import { openConnection } from '../sources/imap/connection.ts';
import { ImapError, type ImapFault } from '../sources/imap/imap-error.ts';
import { type ImapReport, inspectAccount } from '../sources/imap/verify.ts';
import { replaceRefreshToken } from '../store/imap-sources.ts';
import { openImapCredentials } from '../store/secrets.ts';
import { countWorkers } from '../store/standing.ts';
import { ago, span } from './ago.ts';
import type { DoctorContext } from './context.ts';
import { type Finding, fail, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

/** Each worker says each few seconds that it is there. */
const WORKER_DEAD_AFTER_MS = 20_000;
const MAX_FOLDERS = 4;

type Facts = DoctorContext['sources'][number];

export function imapChecks(context: DoctorContext): Check[] {
  const sources = context.sources.filter(({ kind }) => kind === 'imap');
  const isWorkNeeded = sources.some(({ isWanted }) => isWanted) && context.only === undefined;
  const workers: Check = {
    id: 'imap.workers',
    area: 'imap',
    subject: 'workers',
    look: () => countAlive(context),
  };
  return [
    ...(isWorkNeeded ? [workers] : []),
    ...sources.map((source): Check => {
      const isAllowed = context.only === undefined;
      return {
        id: `imap.${source.id}`,
        area: 'imap',
        subject: source.address,
        look: (signal) =>
          (isAllowed ? untilPerson(source) : undefined) ?? lookAtAccount(source, context, signal),
      };
    }),
  ];
}

async function countAlive({ database }: DoctorContext): Promise<Finding> {
  const count = await countWorkers(database.sql, WORKER_DEAD_AFTER_MS);
  if (count > 0) return ok(count === 1 ? 'one is alive' : `${count} are alive`);
  return fail('none is alive, so that no mailbox is read over IMAP', 'start `mailgress worker`');
}

/** What is known without a login, where one could do harm: servers lock accounts after some wrong passwords. */
function untilPerson({
  id,
  isWanted,
  state,
  reason,
  fault,
  failures,
  dueAt,
  now,
}: Facts): Finding | undefined {
  if (!isWanted) return ok('stopped');
  const said = reason ?? 'no reason is known';
  const tryNow = `\`mailgress doctor --source ${id}\` tries it now`;
  if (state === 'disabled') {
    return fail(`disabled: ${said}`, `give it the right credentials, or start it again; ${tryNow}`);
  }
  if (state === 'needs_reauth') return fail(`needs a new consent: ${said}`, 'connect it again');
  if (fault !== 'auth' || failures === 0) return undefined;
  const waitMs = dueAt.getTime() - now.getTime();
  const next = waitMs > 0 ? `, and is tried again in ${span(waitMs)}` : '';
  return fail(`${said}${next}`, `give it the right password; ${tryNow}`);
}

async function lookAtAccount(source: Facts, context: DoctorContext, signal: AbortSignal): Promise<Finding> {
  const { logins, keyring, only } = context;
  const last = logins.last(source.id);
  if (last !== undefined) return last;
  const credentials = source.credentials && openImapCredentials(keyring, source, source.credentials);
  if (credentials === null) return fail('has no credentials', ADVICE.needs_reauth);
  if (credentials.type === 'oauth') {
    const left = leftToWorker(source, only !== undefined);
    if (left !== undefined) return left;
  }
  logins.keep(source.id, fail('did not answer in time', ADVICE.network));
  const finding = await logIn(source, credentials, context, signal);
  logins.keep(source.id, finding);
  return finding;
}

/** A worker takes up a source that is due within a moment, and so long it reads with the credentials that it found then. */
const CLAIM_MS = 15_000;
/** A session is proven each minute. */
const UNPROVEN_MS = 3 * 60_000;

/**
 * By token a login may have the provider make the refresh token void for another: a worker that has the old one in its
 * memory would be told that the consent is gone.
 *
 * @returns undefined if nobody works on it.
 */
function leftToWorker(source: Facts, isAskedFor: boolean): Finding | undefined {
  const { isHeld, state, lastProvenAliveAt, dueAt, now } = source;
  if (isHeld) {
    const lastMs = lastProvenAliveAt?.getTime() ?? 0;
    const alive =
      lastProvenAliveAt === null ? 'not proven alive yet' : `proven alive ${ago(lastProvenAliveAt, now)}`;
    if (now.getTime() - lastMs < UNPROVEN_MS) return ok(`a worker reads it (${state}), ${alive}`);
    return warn(
      `a worker is at it (${state}), ${alive}`,
      'look again in a few minutes, and at the log of the worker',
    );
  }
  if (isAskedFor || dueAt.getTime() - now.getTime() > CLAIM_MS) return undefined;
  return warn('waits for a worker, which logs in next', 'look again in a minute');
}

async function logIn(
  source: Facts,
  credentials: ImapCredentials,
  context: DoctorContext,
  signal: AbortSignal,
): Promise<Finding> {
  const settings = imapSettingsSchema.parse(source.settings);
  try {
    const { report, server } = await inspect(source, settings, credentials, context, signal);
    return judgeReport(source, report, server);
  } catch (error) {
    if (signal.aborted) throw error;
    return findingOf(error, source, settings);
  }
}

async function inspect(
  source: Facts,
  settings: ImapSettings,
  credentials: ImapCredentials,
  { keyring, imap, secrets, database }: DoctorContext,
  signal: AbortSignal,
): Promise<{ report: ImapReport; server: string }> {
  let sealed = source.credentials;
  if (credentials.type === 'password') secrets.add(credentials.password);
  else secrets.add(credentials.refreshToken, credentials.clientSecret);
  const access = await openAccess(settings, credentials, imap.access, async (refreshToken) => {
    secrets.add(refreshToken);
    // The old one may be void by now: without this the next session would have none.
    if (sealed === null || credentials.type !== 'oauth') return;
    sealed = await replaceRefreshToken(database.hot, keyring, source.id, sealed, {
      ...credentials,
      refreshToken,
    });
  });
  const auth = await access.auth(signal);
  if ('accessToken' in auth) secrets.add(auth.accessToken);
  const connection = await openConnection({ ...access.server, auth }, imap.connect, signal);
  const close = () => connection.close();
  signal.addEventListener('abort', close);
  try {
    const { host, port, security } = access.server;
    const report = await inspectAccount(connection, settings.folders, settings.provider);
    return { report, server: `${host}:${port}${security === 'none' ? ' in clear text' : ''}` };
  } finally {
    await connection.end();
    signal.removeEventListener('abort', close);
  }
}

function judgeReport({ parkedFolders }: Facts, report: ImapReport, server: string): Finding {
  const folders = report.folders.map(({ path }) => path);
  const shown = folders.slice(0, MAX_FOLDERS).join(', ');
  const more = folders.length > MAX_FOLDERS ? ` and ${folders.length - MAX_FOLDERS} more` : '';
  const hears = report.idle ? 'tells of mail (IDLE)' : 'is asked once a minute (it has no IDLE)';
  const message = `${server} ${hears}: ${shown}${more}`;
  const [parked] = parkedFolders;
  if (parked === undefined) return ok(message);
  return warn(
    `${message}; "${parked.path}" could not be opened: ${parked.error ?? 'no reason is known'}`,
    'look whether the folder is there and may be read; it is tried again by itself',
  );
}

const ADVICE: Record<ImapFault, string> = {
  network: 'look whether the server is up, and whether host and port are right',
  tls: 'use the name that its certificate holds, or have the certificate renewed',
  auth: 'give it the right user and password (PATCH /v1/sources/{id})',
  throttle: 'wait; if it stays, have fewer other clients at the account',
  folder: 'name folders that are there (PATCH /v1/sources/{id}), or make it',
  protocol: 'look whether host and port are those of an IMAP server',
  quota: 'wait: the provider counts by the day',
  needs_reauth: 'connect it again',
  store: 'look at the database first',
  internal: 'look at the settings of the source',
};

function findingOf(error: unknown, { isHeld, state }: Facts, settings: ImapSettings): Finding {
  if (error instanceof MailgressError) return fail(error.message, 'change the settings of the source');
  if (!(error instanceof ImapError)) throw error;
  const { fault, message } = error;
  // One login more than the account may have is no fault while a session is at work.
  const isWell = isHeld && (state === 'idle' || state === 'polling' || state === 'syncing');
  if (isWell && (fault === 'throttle' || fault === 'quota')) return ok(`is read; ${message}`);
  const preset = IMAP_PRESETS[settings.provider].advice;
  const [said, advice] = message.endsWith(`; ${preset}`)
    ? [message.slice(0, -preset.length - 2), preset]
    : [message, ADVICE[fault]];
  const isBlocked = error.cause instanceof MailgressError && error.cause.code === 'egress_blocked';
  return fail(
    said,
    isBlocked ? 'name the host or its network in MAILGRESS_EGRESS_ALLOW, if it is yours' : advice,
  );
}
