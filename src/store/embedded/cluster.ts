import { type SpawnOptions, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  lchown,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MailgressError } from '../../core/errors.ts';
import { adviceFor } from './advice.ts';
import type { EmbeddedHome } from './home.ts';
import { processOptions } from './process-options.ts';

/**
 * Makes sure that `home` holds a cluster this PostgreSQL can run, creating it when there is none. Safe to
 * interrupt and to run twice at once: the cluster, with its password, is built beside its place and renamed
 * into it; of two builders one wins, the other uses what the winner built.
 *
 * @throws MailgressError `embedded_database`: another major version's cluster, a foreign directory in its
 *   place, or a failed initdb.
 */
export async function createCluster(home: EmbeddedHome, log: (message: string) => void): Promise<void> {
  if (!(await hasCluster(home))) {
    await refuseOtherFiles(home);
    log(`creating the embedded database in ${home.directory} (once)`);
    await buildCluster(home);
  }
  // Only now, with the cluster in place, is every draft litter: left by a killed run, or of a builder that
  // has lost the race and takes the loss of its draft for that.
  await removeDrafts(home);
  await checkVersion(home);
  if (home.user) await handOver(home.data, home.user);
}

async function hasCluster(home: EmbeddedHome): Promise<boolean> {
  return stat(join(home.data, 'PG_VERSION')).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

async function refuseOtherFiles(home: EmbeddedHome): Promise<void> {
  const names = await readdir(home.directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  // Looked at again, as another builder may have been done in between.
  if (names.length === 0 || (await hasCluster(home))) return;
  throw new MailgressError(
    'embedded_database',
    `${home.directory} holds files but no database: move it away, or set MAILGRESS_DATA_DIR elsewhere`,
  );
}

async function buildCluster(home: EmbeddedHome): Promise<void> {
  const draft = await mkdtemp(draftPrefix(home));
  try {
    await initialize(home, draft);
    // Onto an empty directory, or none; one with files in it is refused.
    await rename(draft, home.directory);
    await syncDirectory(dirname(home.directory));
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!(await hasCluster(home))) throw error;
  }
}

async function initialize(home: EmbeddedHome, draft: string): Promise<void> {
  const data = join(draft, basename(home.data));
  const passwordFile = join(draft, basename(home.passwordFile));
  await mkdir(data, { mode: 0o700 });
  // On disk before the cluster shows up under its name: without it nobody gets in.
  await writeFile(passwordFile, randomBytes(24).toString('hex'), { mode: 0o600, flush: true });
  if (home.user) {
    // `user` may pass to `data` and, until initdb has read it, own the password.
    await chmod(draft, 0o711);
    for (const path of [data, passwordFile]) await chown(path, home.user.uid, home.user.gid);
  }
  const run = (program: string, args: string[], input = '') =>
    runProgram(join(home.postgres, 'bin', program), args, input, processOptions(home.user, draft));
  await run('initdb', [
    `--pgdata=${data}`,
    '--username=mailgress',
    '--auth=scram-sha-256',
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    // Sorts and compares the same on every machine, whatever its C library.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-instructions',
  ]);
  // Single-user mode, so that a cluster in its place always has its database; initdb works this way too.
  await run(
    'postgres',
    ['--single', '-D', data, '-c', 'exit_on_error=true', 'postgres'],
    'create database mailgress;\n',
  );
  if (home.user) await chown(passwordFile, 0, 0);
}

async function runProgram(
  path: string,
  args: readonly string[],
  input: string,
  options: SpawnOptions,
): Promise<void> {
  const child = spawn(path, args, { ...options, stdio: 'pipe' });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  // A program that fails early leaves its input unread (EPIPE); its exit says why.
  child.stdin.on('error', () => {}).end(input);
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject).once('close', resolve);
  if ((await promise) === 0) return;
  const lines = output.trim().split('\n').slice(-6).join('\n  ');
  throw new MailgressError(
    'embedded_database',
    `the embedded database cannot be created: ${basename(path)} says\n  ${lines}\n${adviceFor(lines)}`.trim(),
  );
}

async function removeDrafts(home: EmbeddedHome): Promise<void> {
  const parent = dirname(home.directory);
  const prefix = basename(draftPrefix(home));
  for (const name of await readdir(parent))
    if (name.startsWith(prefix))
      // An initdb that still writes there can get in the way; the next start tries again.
      await rm(join(parent, name), { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
}

function draftPrefix(home: EmbeddedHome): string {
  return `${home.directory}.new-`;
}

async function checkVersion(home: EmbeddedHome): Promise<void> {
  const theirs = (await readFile(join(home.data, 'PG_VERSION'), 'utf8')).trim();
  const ours = home.version.split('.')[0];
  if (theirs !== ours)
    throw new MailgressError(
      'embedded_database',
      `the database in ${home.data} is of PostgreSQL ${theirs}, this Mailgress brings PostgreSQL ${ours}: ` +
        `run the Mailgress that made it, or a PostgreSQL ${theirs} on that directory with DATABASE_URL`,
    );
}

/** Gives a cluster that root owns (a backup restored as root) to the user that PostgreSQL runs as. */
async function handOver(data: string, user: { uid: number; gid: number }): Promise<void> {
  if ((await stat(data)).uid === user.uid) return;
  for (const entry of await readdir(data, { recursive: true, withFileTypes: true }))
    await lchown(join(entry.parentPath, entry.name), user.uid, user.gid);
  // Last, as it is what is looked at: an interrupted handover is done again.
  await chown(data, user.uid, user.gid);
}

/** Makes a rename in `directory` survive a power cut. */
async function syncDirectory(directory: string): Promise<void> {
  // Windows cannot open a directory, and needs no such thing.
  if (process.platform === 'win32') return;
  await using handle = await open(directory, 'r');
  await handle.sync();
}
