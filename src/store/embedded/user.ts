import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MailgressError } from '../../core/errors.ts';

/** A user of this machine that PostgreSQL runs as when we are root. */
export type SystemUser = { name: string; uid: number; gid: number };

/** In order of preference; distributions' PostgreSQL packages bring the second, every system the third. */
const CANDIDATES = ['mailgress', 'postgres', 'nobody'];

/**
 * Whom root runs PostgreSQL as: the owner of an existing cluster's `data`, so that a cluster made by another
 * user stays theirs; else the first of the candidates in /etc/passwd (initdb insists on an entry there).
 */
export async function findPostgresUser(data: string | undefined): Promise<SystemUser> {
  const entries = (await readFile('/etc/passwd', 'utf8')).split('\n').map(parseEntry);
  if (data) {
    const { uid, gid } = await stat(data);
    // Owned by root when a backup was restored as root: it is handed over to a candidate at start.
    if (uid !== 0) return { name: entries.find((entry) => entry.uid === uid)?.name ?? `${uid}`, uid, gid };
  }
  for (const name of CANDIDATES) {
    const entry = entries.find((user) => user.name === name);
    if (entry) return entry;
  }
  throw new MailgressError(
    'embedded_database',
    `PostgreSQL refuses to run as root, and there is no user ${CANDIDATES.join(', ')} in /etc/passwd: ` +
      'run "useradd --system mailgress", run Mailgress as another user than root, or set DATABASE_URL',
  );
}

/** A line of passwd(5): name:password:uid:gid:... */
function parseEntry(line: string): SystemUser {
  const [name = '', , uid, gid] = line.split(':');
  return { name, uid: Number(uid), gid: Number(gid) };
}

/**
 * The first directory, from `path` up to the root, that `user` may not pass; undefined when nothing is in
 * the way. Of a path that does not exist yet the existing part counts. Reads the mode bits alone, as access
 * lists are rare on directories.
 */
export async function findBarrier(path: string, user: SystemUser): Promise<string | undefined> {
  let directory = await realpathOfExisting(path);
  for (;;) {
    const { mode, uid, gid } = await stat(directory);
    const searchBit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if (!(mode & searchBit)) return directory;
    if (directory === dirname(directory)) return undefined;
    directory = dirname(directory);
  }
}

async function realpathOfExisting(path: string): Promise<string> {
  return realpath(path).catch(() => realpathOfExisting(dirname(path)));
}
