import type { ImapFlow } from 'imapflow';
import { listenToLog } from './client-log.ts';
import { createClient } from './create-client.ts';
import { ImapError, toImapError } from './imap-error.ts';
import { listenToMessageLimit, type MessageLimit } from './message-limit.ts';
import { resolveHost } from './resolve-host.ts';
import { type AnswerLimits, watchAnswers } from './watch-answers.ts';

/** Where a mailbox is, and who asks. */
export type ImapServer = {
  host: string;
  port: number;
  /** `none`: in clear text. STARTTLS never falls back to that. */
  security: 'tls' | 'starttls' | 'none';
  auth: ImapAuth;
  /** What to do when the login is refused, for the person who reads why. */
  advice: string;
};

export type ImapAuth = { user: string; pass: string } | { user: string; accessToken: string };

export type ConnectTools = {
  /** The addresses that the host may be dialled at; throws for one that may not be reached. */
  resolve: (host: string) => Promise<{ address: string }[]>;
  /** The same for clear text: also throws for one that the password may not be sent to so. Asked apart, a name could change between. */
  resolveInClear: (host: string) => Promise<{ address: string }[]>;
  /** Names us to the server (RFC 2971). */
  version: string;
  /** The largest mail that is read whole. */
  maxMailBytes: number;
  /** PEM of who may sign certificates, instead of those that everybody trusts. */
  ca?: string | undefined;
  timeouts?: Partial<ImapTimeouts> | undefined;
};

export type ImapTimeouts = {
  /** Until TCP and TLS stand; and again until the greeting, and the login. */
  connectMs: number;
  /** For the answer to a command that has little to say. */
  commandMs: number;
  /** For room in memory, before mail is fetched. */
  roomMs: number;
};

export const DEFAULT_TIMEOUTS: ImapTimeouts = { connectMs: 10_000, commandMs: 15_000, roomMs: 60_000 };

const LOGOUT_MS = 2000;

/** One logged-in connection, used by one caller at a time. */
export type ImapConnection = MessageLimit & {
  readonly client: ImapFlow;
  /** Whether it can be told of new mail. */
  hasIdle(): boolean;
  has(capability: string): boolean;
  /**
   * Runs a command, or several in a row.
   *
   * @param limits of what they answer together.
   * @throws ImapError, also when the connection ended although the command seems to have an answer.
   */
  run<T>(work: (client: ImapFlow) => Promise<T>, limits?: AnswerLimits): Promise<T>;
  /** Lets the server tell what comes, until the next command. Never fails: what ends it shows at that command. */
  idle(): void;
  /** `onChange` is called when the server told of mail, or the connection ended. */
  onChange(listener: () => void): void;
  isOpen(): boolean;
  /** How many mails the selected folder has, as far as the server has said. */
  exists(): number;
  /** Lines so far that could not be parsed: imapflow leaves them out of its answers, and one may have been a row of FETCH. */
  unreadableRows(): number;
  /** Says goodbye (DONE, LOGOUT) if that is possible, and closes; within a few seconds. */
  end(): Promise<void>;
  close(): void;
};

/**
 * Connects and logs in, at the first address of the host that answers.
 *
 * @param signal ends the attempt.
 * @throws ImapError by class; the reason of the signal.
 */
export async function openConnection(
  server: ImapServer,
  tools: ConnectTools,
  signal: AbortSignal,
): Promise<ImapConnection> {
  signal.throwIfAborted();
  const timeouts = { ...DEFAULT_TIMEOUTS, ...tools.timeouts };
  const resolve = server.security === 'none' ? tools.resolveInClear : tools.resolve;
  const addresses = await resolveHost(server.host, resolve, timeouts.connectMs, signal);
  for (const [at, address] of addresses.entries()) {
    // One that hangs up on logins would be asked for one at each of its addresses, each time.
    let isGreeted = false;
    const onGreeted = () => {
      isGreeted = true;
    };
    try {
      return await openAt(address, server, tools, timeouts, signal, onGreeted);
    } catch (error) {
      const isOutOfReach = error instanceof ImapError && error.fault === 'network' && !isGreeted;
      if (!isOutOfReach || at === addresses.length - 1) throw error;
    }
  }
  throw new ImapError('network', `${server.host} has no address`);
}

async function openAt(
  address: string,
  server: ImapServer,
  tools: ConnectTools,
  timeouts: ImapTimeouts,
  signal: AbortSignal,
  onGreeted: () => void,
): Promise<ImapConnection> {
  const { host, auth } = server;
  const secret = 'pass' in auth ? auth.pass : auth.accessToken;
  const context = { host, isOauth: 'accessToken' in auth, advice: server.advice, secrets: [secret] };
  let failure: unknown;
  let unreadableRows = 0;
  const logger = listenToLog({
    onThrottled(error) {
      failure ??= error;
      // Not within its own handler: it would go on to wait on a connection that has been closed already.
      setImmediate(() => client.close());
    },
    onUnreadable() {
      unreadableRows++;
    },
  });
  const { connectMs, commandMs } = timeouts;
  const { ca, version, maxMailBytes } = tools;
  const options = { ...server, address, ca, version, maxMailBytes, connectMs, logger };
  const client = await createClient(options);
  const watch = watchAnswers(client, { host, commandMs }, (why) => {
    failure ??= why;
    client.close();
  });
  // Before anything else, and for ever: an error that nobody listens to ends the process.
  let listener = () => {};
  client.on('error', (error) => {
    failure ??= error;
    listener();
  });
  client.on('close', () => {
    watch.stop();
    listener();
  });
  client.on('exists', () => {
    watch.look();
    listener();
  });

  const connection: ImapConnection = {
    client,
    hasIdle: () => client.capabilities.has('IDLE'),
    has: (capability) => client.capabilities.has(capability),
    // After BYE imapflow closes a moment later; until then its commands answer as if there were nothing.
    isOpen: () => client.usable && !client.isClosed && !client.byeReason,
    // Undefined, which its type does not say, of a server that did not say it.
    exists: () => (client.mailbox === false ? 0 : ((client.mailbox.exists as number | undefined) ?? 0)),
    unreadableRows: () => unreadableRows,
    ...listenToMessageLimit(client),
    async run(work, limits = {}) {
      if (!connection.isOpen()) throw lost();
      try {
        const result = await watch.asked(() => work(client), limits);
        // Some commands of a connection that ends in the middle answer as if there were nothing.
        if (!connection.isOpen()) throw lost();
        return result;
      } catch (error) {
        if (error instanceof ImapError) throw error;
        // Rejected because the connection has ended, it says less than what ended it.
        if (!connection.isOpen() && !isRefusal(error)) throw lost();
        throw toImapError(error, { ...context, phase: 'session' });
      }
    },
    idle() {
      // It settles when the next command breaks it, or with the connection, which that command finds.
      client.idle().catch(() => {});
      watch.unasked();
    },
    onChange(onChange) {
      listener = onChange;
    },
    async end() {
      if (connection.isOpen())
        await watch.asked(() => client.logout(), { deadlineMs: LOGOUT_MS }).catch(() => {});
      client.close();
    },
    close: () => client.close(),
  };

  /** Why the connection has ended: an `error` event tells more than the command that met it, and a BYE more than nothing. */
  function lost(): ImapError {
    const ended = failure ?? {
      code: 'NoConnection',
      message: 'the connection was closed',
      reason: client.byeReason,
    };
    return toImapError(ended, { ...context, phase: 'session' });
  }

  const abort = () => client.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    await watch.asked(() => client.connect(), { deadlineMs: 3 * timeouts.connectMs });
    signal.throwIfAborted();
    // imapflow would ask for an EMAILID then; a Gmail mail goes by its X-GM-MSGID on every path.
    if (client.capabilities.has('X-GM-EXT-1')) client.capabilities.delete('OBJECTID');
    return connection;
  } catch (error) {
    if (client.greeting !== undefined) onGreeted();
    client.close();
    signal.throwIfAborted();
    if (error instanceof ImapError) throw error;
    throw toImapError(failure !== undefined && !isRefusal(error) ? failure : error, {
      ...context,
      phase: 'connect',
    });
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** The server's own word on the login counts more than how the connection ended after it. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && ('responseStatus' in error || 'authenticationFailed' in error);
}
