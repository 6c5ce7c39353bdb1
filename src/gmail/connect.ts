import type { Credentials } from '../core/credentials.ts';
import { MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import type { Source } from '../core/resources.ts';
import type { Keyring } from '../core/sealed.ts';
import { GmailError } from '../sources/gmail/gmail-error.ts';
import { isSameAccount } from '../sources/oauth/account.ts';
import type { Database } from '../store/database.ts';
import {
  createGmailSource,
  findGmailSourceOf,
  findLastWatchers,
  replaceCredentials,
  replaceSettings,
} from '../store/gmail-sources.ts';
import { forgetWatch, remakeWatch } from '../store/gmail-watches.ts';
import { findMailbox } from '../store/mailboxes.ts';
import { openCredentials } from '../store/secrets.ts';
import { findSource } from '../store/sources.ts';
import type { GmailAccess } from './access.ts';

/** Makes, mends and ends sources of kind gmail. */
export type GmailSources = {
  /**
   * Asks Gmail for the account's profile, and begins the source where that is now.
   *
   * @returns undefined if there is no such mailbox.
   * @throws MailgressError `conflict` when the mailbox has such a source; `credentials_refused`, `oauth_not_configured`,
   * `provider_unavailable`.
   */
  create(mailboxId: Id<'mbx'>, input: GmailInput): Promise<Source | undefined>;
  /**
   * Changes what is given of a source. New credentials start it again.
   *
   * @throws MailgressError as `create` says.
   */
  change(source: { id: Id<'src'>; address: string }, change: GmailChange): Promise<Source | undefined>;
  /** Gives the mailbox's source new credentials and starts it, or makes one. */
  connect(mailboxId: Id<'mbx'>, credentials: Credentials): Promise<Source | undefined>;
  /**
   * Call before sources go or are stopped, and the function it answers after that: it ends the watches that are
   * nobody's any more. It never fails: a watch ends by itself in a week, and what is pushed for it is let go.
   */
  prepareEnd(of: { sourceId: Id<'src'> } | { mailboxId: Id<'mbx'> }): Promise<() => Promise<void>>;
};

/** What is undefined stays. */
export type GmailChange = {
  credentials?: Credentials | undefined;
  settings?: GmailInput['settings'] | undefined;
};

export type GmailInput = {
  credentials: Credentials;
  settings: Record<string, unknown>;
  /** From when on mail is read that is there already; undefined: only what comes from now on. */
  since?: Date | undefined;
};

/** Somebody waits for the answer: less than the API takes for its time, or a slow Gmail would look like a lost database. */
const PROFILE_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 10_000;

export function createGmailSources(options: {
  database: Database;
  keyring: Keyring;
  access: GmailAccess;
  /** Call when a source has become due. */
  wake: () => void;
  onWatchLeft: (error: unknown) => void;
}): GmailSources {
  const { keyring, access, wake } = options;
  const { sql } = options.database;

  /** @throws MailgressError as `create` says. */
  async function askProfile(address: string, credentials: Credentials) {
    const profile = await access
      .open(address, credentials)
      .profile(AbortSignal.timeout(PROFILE_TIMEOUT_MS))
      .catch(throwForCaller);
    if (!isSameAccount(address, profile.address)) {
      throw new MailgressError(
        'credentials_refused',
        `These credentials are of ${profile.address}, and the mailbox is ${address}`,
      );
    }
    return profile;
  }

  async function make(
    mailboxId: Id<'mbx'>,
    { credentials, settings, since }: GmailInput,
  ): Promise<Source | undefined> {
    const mailbox = await findMailbox(sql, mailboxId);
    if (mailbox === undefined) return undefined;
    const { address: account, historyId: cursor } = await askProfile(mailbox.address, credentials);
    const input = { account, credentials, settings, cursor, since };
    const source = await createGmailSource(sql, keyring, mailboxId, input);
    wake();
    return source;
  }

  async function change(
    { id, address }: { id: Id<'src'>; address: string },
    { credentials, settings }: GmailChange,
  ): Promise<Source | undefined> {
    if (credentials !== undefined) {
      const { address: account } = await askProfile(address, credentials);
      await replaceCredentials(sql, keyring, id, { account, credentials });
    }
    if (settings !== undefined) await replaceSettings(sql, id, settings);
    wake();
    return findSource(sql, id);
  }

  return {
    change,

    async create(mailboxId, input) {
      const existing = await findGmailSourceOf(sql, mailboxId);
      if (existing !== undefined) {
        throw new MailgressError(
          'conflict',
          `The mailbox has ${existing}, which reads Gmail; PATCH that one to change its credentials`,
        );
      }
      return make(mailboxId, input);
    },

    async connect(mailboxId, credentials) {
      const existing = await findGmailSourceOf(sql, mailboxId);
      if (existing === undefined) return make(mailboxId, { credentials, settings: {} });
      const mailbox = await findMailbox(sql, mailboxId);
      if (mailbox === undefined) return undefined;
      return change({ id: existing, address: mailbox.address }, { credentials });
    },

    async prepareEnd(of) {
      const watchers = await findLastWatchers(sql, of);
      return async () => {
        for (const { id, account, credentials } of watchers) {
          try {
            await forgetWatch(sql, account);
            const gmail = access.open(account, openCredentials(keyring, id, credentials));
            await gmail.stop(AbortSignal.timeout(STOP_TIMEOUT_MS));
            // A source that came or was started meanwhile had a watch made, and it may have been this one.
            if (await remakeWatch(sql, account)) wake();
          } catch (error) {
            options.onWatchLeft(error);
          }
        }
      };
    },
  };
}

function throwForCaller(error: unknown): never {
  if (error instanceof Error && error.name === 'TimeoutError') {
    throw new MailgressError('provider_unavailable', 'Gmail does not answer', {
      retryable: true,
      cause: error,
    });
  }
  if (!(error instanceof GmailError)) throw error;
  const isTheirs = error.fault === 'unavailable' || error.fault === 'slow_down';
  throw new MailgressError(isTheirs ? 'provider_unavailable' : 'credentials_refused', error.message, {
    retryable: isTheirs,
  });
}
