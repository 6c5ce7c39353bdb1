import { MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import { imapHostOf, providerOfAddress, providerOfHost } from '../core/imap-providers.ts';
import { type ImapCredentials, type ImapSettings, imapSettingsSchema } from '../core/imap-settings.ts';
import type { Source } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import { type ConnectTools, openConnection } from '../sources/imap/connection.ts';
import { findImapServer, isOfDomain, type ResolveSrv } from '../sources/imap/find-server.ts';
import { ImapError } from '../sources/imap/imap-error.ts';
import { type ImapReport, inspectAccount } from '../sources/imap/verify.ts';
import { GrantError } from '../sources/oauth/access-tokens.ts';
import type { Database } from '../store/database.ts';
import {
  changeImapSource,
  createImapSource,
  findImapSource,
  IMAP_CHANNEL,
  replaceRefreshToken,
  resetImapSource,
} from '../store/imap-sources.ts';
import { findMailbox } from '../store/mailboxes.ts';
import { openImapCredentials } from '../store/secrets.ts';
import { type AccessOptions, openAccess, serverOf } from './access.ts';

/** How mail is read, as it is asked for: what is left out follows from the address. */
export type ImapInput = {
  auth: ImapCredentials;
  settings: Partial<ImapSettings>;
  since?: Date | undefined;
};

export type ImapChange = { auth?: ImapCredentials | undefined; settings?: Partial<ImapSettings> | undefined };

/** Makes and changes sources of kind imap: whatever is kept has logged in and listed before. */
export type ImapSources = {
  /**
   * @returns undefined if there is no such mailbox.
   * @throws MailgressError `bad_request`, `credentials_refused`, `egress_blocked`, `oauth_not_configured`,
   * `provider_unavailable`.
   */
  create(mailboxId: Id<'mbx'>, input: ImapInput): Promise<{ source: Source; report: ImapReport } | undefined>;
  /** Changes what is given, and starts the source again. Throws as `create`. */
  change(id: Id<'src'>, change: ImapChange): Promise<{ source: Source; report: ImapReport } | undefined>;
  reset(id: Id<'src'>): Promise<Source | undefined>;
  /** Has workers look at once, wherever they are. */
  wake(): void;
};

/** Somebody waits for the answer. */
const VERIFY_TIMEOUT_MS = 25_000;

export function createImapSources(options: {
  database: Database;
  keyring: Keyring;
  access: AccessOptions;
  connect: ConnectTools;
  resolveSrv: ResolveSrv;
}): ImapSources {
  const { keyring, access, connect, database } = options;
  const { sql, hot } = database;
  // A word that is lost costs the second until a worker's next scan.
  const wake = () => void hot.notify(IMAP_CHANNEL, '').catch(() => {});

  /** @param onRotated keeps those that come in the place of what was given: that is over, whatever becomes of this. */
  async function verify(
    settings: ImapSettings,
    given: ImapCredentials,
    onRotated: (renewed: ImapCredentials) => Promise<void>,
  ): Promise<ImapReport> {
    const signal = AbortSignal.timeout(VERIFY_TIMEOUT_MS);
    try {
      const account = await openAccess(settings, given, access, async (refreshToken) => {
        if (given.type === 'oauth') await onRotated({ ...given, refreshToken });
      });
      const auth = await account.auth(signal);
      const connection = await openConnection({ ...account.server, auth }, connect, signal);
      signal.addEventListener('abort', () => connection.close());
      try {
        return await inspectAccount(connection, settings.folders, settings.provider);
      } finally {
        await connection.end();
      }
    } catch (error) {
      return throwForCaller(error, signal);
    }
  }

  return {
    wake,

    async create(mailboxId, { auth, settings: given, since }) {
      const mailbox = await findMailbox(sql, mailboxId);
      if (mailbox === undefined) return undefined;
      const settings = await completeSettings(given, mailbox.address, options.resolveSrv);
      let credentials = auth;
      const report = await verify(settings, auth, async (renewed) => {
        credentials = renewed;
      });
      const { folders } = report;
      const input = { credentials, settings, folders, since };
      const source = await createImapSource(sql, keyring, mailboxId, input);
      wake();
      return source && { source, report };
    },

    async change(id, { auth, settings: given = {} }) {
      const before = await findImapSource(sql, id);
      if (before === undefined) return undefined;
      const known = imapSettingsSchema.parse(before.settings);
      const settings = imapSettingsSchema.parse({ ...known, ...given });
      const { account, credentials: sealed } = before;
      if (auth === undefined && sealed === null) {
        throw new MailgressError('bad_request', 'The source has no credentials: give `auth`');
      }
      const other = auth === undefined ? findOther(settings, known) : undefined;
      if (other !== undefined) {
        // Whoever may change a source could have its password sent to a server of their own, or read it on the way.
        const message = `Another ${other} is to get the password or consent: give \`auth\``;
        throw new MailgressError('bad_request', message);
      }
      const kept = auth ?? (sealed && openImapCredentials(keyring, { id, account }, sealed));
      if (kept === null) throw new MailgressError('internal', 'a source without credentials');
      let credentials = auth;
      let current = sealed;
      const report = await verify(settings, kept, async (renewed) => {
        if (auth !== undefined) credentials = renewed;
        else if (current !== null) current = await replaceRefreshToken(sql, keyring, id, current, renewed);
      });
      const isAnotherUser = kept.user.toLowerCase() !== account;
      const isAnotherHost = hostOf(settings) !== hostOf(known);
      const { folders } = report;
      const source = await changeImapSource(sql, keyring, id, {
        // Undefined unless given: a worker, or a consent, may have put others there meanwhile.
        ...{ credentials, settings, folders },
        isOther: isAnotherUser || isAnotherHost,
        isMoved: isAnotherHost && !isAnotherUser,
      });
      wake();
      return source && { source, report };
    },

    async reset(id) {
      const source = await resetImapSource(sql, id);
      wake();
      return source;
    },
  };
}

function hostOf(settings: ImapSettings): string | undefined {
  return serverOf(settings).host?.toLowerCase();
}

const SAFETY = { none: 0, starttls: 1, tls: 2 } as const;

/** By what a change leads elsewhere, or there less safely than before; undefined: by nothing. */
function findOther(settings: ImapSettings, known: ImapSettings): string | undefined {
  const [now, before] = [serverOf(settings), serverOf(known)];
  if (hostOf(settings) !== hostOf(known)) return 'host';
  if (SAFETY[now.security] < SAFETY[before.security]) return 'security';
  // Compared under one `security`, which the port follows from where none is named.
  const isOtherPort = now.port !== serverOf({ ...known, security: now.security }).port;
  return isOtherPort ? 'port' : undefined;
}

/** The provider by host or address; the host by the provider, or as the domain's DNS tells it (RFC 6186): its own, or a known one. */
async function completeSettings(
  given: Partial<ImapSettings>,
  address: string,
  resolveSrv: ResolveSrv,
): Promise<ImapSettings> {
  const provider =
    given.provider ?? (given.host === undefined ? providerOfAddress(address) : providerOfHost(given.host));
  const host = given.host ?? (provider === providerOfAddress(address) ? imapHostOf(address) : undefined);
  const settings = imapSettingsSchema.parse({ ...given, provider: provider ?? 'generic', host });
  if (settings.host !== undefined || settings.provider !== 'generic') return settings;
  const found = await findImapServer(address, resolveSrv).catch((cause) => {
    const message = `Where ${address} has its mail is not known, for DNS does not answer for now: say \`host\``;
    throw new MailgressError('provider_unavailable', message, { retryable: true, cause });
  });
  if (found === undefined) {
    throw new MailgressError(
      'bad_request',
      `Where ${address} has its mail is not known: say \`host\` (its domain has no records of RFC 6186)`,
    );
  }
  if (!isOfDomain(found.host, address) && providerOfHost(found.host) === 'generic') {
    // DNS is seldom signed: whoever forges an answer would be sent the password.
    throw new MailgressError('bad_request', `Its DNS names ${found.host}: say \`host\` to log in there`);
  }
  return { ...settings, ...found, provider: providerOfHost(found.host) };
}

function throwForCaller(error: unknown, signal: AbortSignal): never {
  if (signal.aborted) {
    const message = 'The server takes too long to log in and list its folders';
    throw new MailgressError('provider_unavailable', message, { retryable: true, cause: error });
  }
  if (!(error instanceof ImapError)) throw error;
  const { fault, message, cause } = error;
  if (cause instanceof MailgressError) throw cause;
  const isGrantRefused = cause instanceof GrantError && cause.kind !== 'unavailable';
  if (fault === 'auth' || isGrantRefused) {
    throw new MailgressError('credentials_refused', message, { cause: error });
  }
  if (fault === 'tls' || fault === 'folder' || fault === 'protocol') {
    const says = fault === 'tls' ? `N${message.slice(1)}` : `${TITLES[fault]}: ${message}`;
    throw new MailgressError('bad_request', says, { cause: error });
  }
  throw new MailgressError('provider_unavailable', message, { retryable: true, cause: error });
}

const TITLES = { folder: 'No such folder', protocol: 'No IMAP server' } as const;
