import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createCertificates } from './certificates.ts';
import { createAdmin, type DovecotAdmin } from './dovecot-admin.ts';
import { dovecotConfig, findOwners, isRoot, oauthConfig, PASSWORD, STRANGER } from './dovecot-config.ts';
import { type AuthFailure, type Login, readDovecotLog } from './dovecot-log.ts';
import type { DovecotOptions } from './dovecot-options.ts';
import { createPasswords } from './dovecot-passwords.ts';
import { type DovecotProcess, startDovecotProcess } from './dovecot-process.ts';
import { findFreePort } from './free-ports.ts';
import { type InotifyLimit, raiseInotifyLimit } from './inotify.ts';
import { findDovecot } from './install.ts';
import { deliverByLmtp } from './lmtp.ts';
import { type Maildirs, openMaildirs } from './maildir.ts';

export type { DovecotOptions } from './dovecot-options.ts';

/** A real Dovecot in a directory and on ports of its own. Every user name exists, with one password. */
export type Dovecot = AsyncDisposable &
  DovecotAdmin & {
    /** localhost, or 127.0.0.2 with `requireTls`; the certificate holds both. */
    host: string;
    /** IMAP in clear text, with STARTTLS offered. */
    port: number;
    /** IMAP over TLS. */
    tlsPort: number;
    password: string;
    /** The authority that vouches for the server, as PEM text and as a file. */
    ca: string;
    caPath: string;
    lmtpPath: string;
    directory: string;
    inotify: InotifyLimit;
    /** Writes a file into the Maildir; returns before Dovecot has seen it. */
    drop: Maildirs['drop'];
    maildir: Maildirs['path'];
    /** By LMTP; returns when Dovecot has taken it. */
    deliver(user: string, raw: string | Uint8Array, options?: { folder?: string }): Promise<void>;
    /** From now on this user has this password, and no other. Resolves when that holds: at the next full second. */
    setPassword(user: string, password: string): Promise<void>;
    /** Logins that succeeded, oldest first. */
    logins(user?: string): Login[];
    authFailures(user?: string): AuthFailure[];
    /** Sessions that are logged in and have not ended. */
    connections(user?: string): Login[];
    /**
     * Ends this user's sessions, with the BYE of a server that shuts down; resolves when they have ended. Other users'
     * sessions in the same process end as well: use it with one client per process.
     */
    kick(user: string): Promise<void>;
    logs(): string;
    /** Resolves once the log holds this text. */
    says(text: string): Promise<void>;
    /**
     * Ends every process, in order (sessions are told BYE) or killed; `start` brings it back on the same ports, with the
     * mail that was there.
     */
    halt(how?: 'in order' | 'killed'): Promise<void>;
    start(): Promise<void>;
    restart(how?: 'in order' | 'killed'): Promise<void>;
    /** Freezes every process: connections are taken by the system and nobody answers; and lets them go on. */
    pause(): void;
    resume(): void;
    /** Ends every process and removes the directory. */
    stop(): Promise<void>;
  };

/** How many inotify instances we would like: more than the connections of the largest test. */
const INOTIFY_INSTANCES = 2048;

export async function startDovecot(options: DovecotOptions = {}): Promise<Dovecot> {
  const found = await findDovecot();
  if ('missing' in found) throw new Error(found.missing);
  const program = found.dovecot;
  const inotify = raiseInotifyLimit(INOTIFY_INSTANCES);
  const directory = await mkdtemp(join(tmpdir(), 'mailgress-dovecot-'));
  const owners = findOwners(await ownGroup());
  const mail = join(directory, 'mail');
  // Several users of the system have to pass.
  await chmod(directory, 0o711);
  await mkdir(mail);
  if (isRoot) await chown(mail, owners.mail.uid, owners.mail.gid);
  const certificates = await createCertificates(directory, options.certificate);
  for (const name of ['changed', 'known']) await writeFile(join(directory, name), '');
  const introspectionUrl = options.tokens?.introspectionUrl;
  if (introspectionUrl !== undefined)
    await writeFile(join(directory, 'oauth2.conf'), oauthConfig(introspectionUrl));

  const log = readDovecotLog();
  const configPath = join(directory, 'dovecot.conf');
  let ports = { port: 0, tlsPort: 0 };
  let running: DovecotProcess | undefined;

  async function start(): Promise<void> {
    running = await startDovecotProcess(program, { configPath, directory, port: ports.port, log });
  }

  async function startFirst(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      ports = { port: await findFreePort(), tlsPort: await findFreePort() };
      const place = {
        ...ports,
        ...{ directory, introspectionUrl, clientsPerProcess: options.clientsPerProcess ?? 1 },
        ...{ certPath: certificates.certPath, keyPath: certificates.keyPath },
      };
      await writeFile(configPath, dovecotConfig(options, place, owners));
      try {
        return await start();
      } catch (error) {
        // Another process took one of the ports in between.
        if (attempt === 5 || !String(error).includes('Address already in use')) throw error;
      }
    }
  }

  async function endSessions(sessions: Login[]): Promise<void> {
    for (const { pid } of sessions)
      try {
        process.kill(pid, 'SIGTERM');
      } catch {
        // Gone by itself.
      }
    await Promise.all(sessions.map(({ session }) => log.ended(session)));
  }

  async function halt(how: 'in order' | 'killed' = 'in order'): Promise<void> {
    // Before the master, or it and the log are gone by the time they have said BYE.
    if (how === 'in order') await endSessions(log.open());
    await running?.stop(how);
    log.forgetOpen();
    running = undefined;
  }

  async function stop(): Promise<void> {
    await halt('killed');
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  }

  try {
    await startFirst();
  } catch (error) {
    await stop();
    throw error;
  }

  const maildirs = openMaildirs(mail, owners.mail);
  const lmtpPath = join(directory, 'run', 'lmtp');
  const of = <T extends { user: string }>(entries: T[], user?: string) =>
    entries.filter((entry) => user === undefined || entry.user === user);

  return {
    host: options.requireTls === true ? STRANGER : 'localhost',
    ...ports,
    password: options.password ?? PASSWORD,
    ca: certificates.ca,
    caPath: certificates.caPath,
    lmtpPath,
    directory,
    inotify,
    ...createAdmin(configPath),
    drop: maildirs.drop,
    maildir: maildirs.path,
    deliver: (user, raw, { folder } = {}) => deliverByLmtp(lmtpPath, recipient(user, folder), raw),
    setPassword: createPasswords(directory),
    logins: (user) => of(log.logins, user),
    authFailures: (user) => of(log.failures, user),
    connections: (user) => of(log.open(), user),
    kick: (user) => endSessions(of(log.open(), user)),
    logs: log.text,
    says: log.says,
    halt,
    start,
    async restart(how) {
      await halt(how);
      await start();
    },
    pause: () => running?.signal('SIGSTOP'),
    resume: () => running?.signal('SIGCONT'),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** With the folder as the detail after a plus sign; only for names that stand in an address as they are. */
function recipient(user: string, folder: string | undefined): string {
  if (folder === undefined) return user;
  const [local = '', domain] = user.split('@');
  return `${local}+${folder}${domain === undefined ? '' : `@${domain}`}`;
}

async function ownGroup(): Promise<string> {
  const { stdout } = await promisify(execFile)('id', ['-gn']);
  return stdout.trim();
}
