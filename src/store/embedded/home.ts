import { createHash } from 'node:crypto';
import { access, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MailgressError } from '../../core/errors.ts';
import { findPostgresPackage, openSystemDirectory, placeBinaries } from './binaries.ts';
import { findBarrier, findPostgresUser, type SystemUser } from './user.ts';

/** Where an embedded database lives, what runs it, and as whom. */
export type EmbeddedHome = {
  /** Holds the three below. */
  directory: string;
  /** PostgreSQL's data directory. */
  data: string;
  /** The password of user "mailgress", a file 0600. */
  passwordFile: string;
  logFile: string;
  /** The folder with PostgreSQL's bin, lib and share, and its version (`18.4.0-beta.17`). */
  postgres: string;
  version: string;
  /** Undefined: PostgreSQL runs as we do. */
  user: SystemUser | undefined;
};

type Options = { directory: string; systemDirectory?: string; log(message: string): void };

/**
 * Decides where the embedded database of `directory` lives. That is there, unless we are root: PostgreSQL
 * refuses root and runs as a system user, and when that one may not pass a parent (root's home is 0700) a
 * directory below `systemDirectory` takes its place, which is logged.
 *
 * @throws MailgressError `embedded_database`: no binaries for this platform, no system user, or an existing
 *   cluster that its user cannot reach.
 */
export async function resolveHome(options: Options): Promise<EmbeddedHome> {
  const { systemDirectory = '/var/lib/mailgress', log } = options;
  const directory = join(await realpath(dirname(options.directory)), basename(options.directory));
  const source = findPostgresPackage();
  if (process.getuid?.() !== 0) return describeHome(directory, source.folder, source.version, undefined);

  const digest = createHash('sha256').update(directory).digest('hex').slice(0, 12);
  const candidates = [directory, join(systemDirectory, digest)];
  const existing = await findExisting(candidates);
  const user = await findPostgresUser(existing && join(existing, 'data'));
  const chosen = await chooseReachable(existing ? [existing] : candidates, user);
  if (chosen !== directory) {
    await openSystemDirectory(systemDirectory);
    log(`user ${user.name}, who runs PostgreSQL, cannot reach ${directory}: the database is in ${chosen}`);
  }
  const folder = await placeBinaries(source, systemDirectory, user);
  return describeHome(chosen, folder, source.version, user);
}

/** The first that holds a cluster: an existing one is never passed over for a new, empty one. */
async function findExisting(candidates: readonly string[]): Promise<string | undefined> {
  for (const candidate of candidates) {
    const found = await access(join(candidate, 'data')).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
  }
  return undefined;
}

async function chooseReachable(candidates: readonly string[], user: SystemUser): Promise<string> {
  const barriers: string[] = [];
  for (const candidate of candidates) {
    const barrier = await findBarrier(candidate, user);
    if (!barrier) return candidate;
    barriers.push(barrier);
  }
  throw new MailgressError(
    'embedded_database',
    `user ${user.name}, who runs PostgreSQL for root, cannot reach ${candidates.join(' or ')}: ` +
      `run "chmod o+x ${barriers.join(' ')}", or set MAILGRESS_DATA_DIR to a directory it can reach`,
  );
}

function describeHome(
  directory: string,
  postgres: string,
  version: string,
  user: SystemUser | undefined,
): EmbeddedHome {
  return {
    directory,
    data: join(directory, 'data'),
    passwordFile: join(directory, 'password'),
    logFile: join(directory, 'postgres.log'),
    postgres,
    version,
    user,
  };
}
