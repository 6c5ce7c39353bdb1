import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type MailgressProcess, watchMailgress } from '../support/process.ts';

const run = promisify(execFile);

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** A folder that is removed when the test leaves the scope. */
export type Folder = AsyncDisposable & { path: string };

export async function createFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'mailgress-deploy-'));
  // As root the PostgreSQL that lies in it runs as another user, who must be able to pass.
  await chmod(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 10 }) };
}

/** What a clone of the work tree has once its changes are committed: no dependencies, nothing that git ignores. */
export async function cloneWorkTree(to: string): Promise<void> {
  const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    maxBuffer: 10_000_000,
  });
  for (const file of stdout.split('\0')) {
    // A link in its place is not ignored.
    if (file === '' || file === 'node_modules') continue;
    await mkdir(dirname(join(to, file)), { recursive: true });
    await copyFile(join(root, file), join(to, file)).catch((error: NodeJS.ErrnoException) => {
      // Deleted, and not yet committed.
      if (error.code !== 'ENOENT') throw error;
    });
  }
}

/**
 * The version before the newest migration, as it was committed.
 *
 * @returns false where the history does not reach back so far, as in a shallow clone.
 */
export async function clonePreviousVersion(to: string): Promise<boolean> {
  const journal = JSON.parse(await readFile(join(root, 'drizzle/meta/_journal.json'), 'utf8'));
  const newest = `drizzle/${journal.entries.at(-1).tag}.sql`;
  const git = (...args: string[]) => run('git', args, { cwd: root }).then(({ stdout }) => stdout.trim());
  const added = await git('log', '--diff-filter=A', '--format=%H', '-1', '--', newest);
  // One that is not committed yet comes after all that is.
  const version = added === '' ? 'HEAD' : `${added}^`;
  const isThere = await git('rev-parse', '--verify', '--quiet', `${version}^{commit}`).catch(() => '');
  if (isThere === '') return false;
  const archive = spawn('git', ['archive', isThere], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const tar = spawn('tar', ['-x', '-C', to], { stdio: [archive.stdout, 'inherit', 'inherit'] });
  const [code] = await once(tar, 'close');
  if (code !== 0) throw new Error(`tar ended with ${code}`);
  return true;
}

/**
 * Gives a clone the installed dependencies of another, where they will do: a version before may have asked for others.
 *
 * @returns whether all is there that its program loads at the start.
 */
export async function shareDependencies(from: string, to: string): Promise<boolean> {
  await symlink(join(from, 'node_modules'), join(to, 'node_modules'));
  const isEnough = await runCommand(`node --eval "import('./src/cli/serve.ts')"`, to).then(
    () => true,
    () => false,
  );
  if (!isEnough) await unlink(join(to, 'node_modules'));
  return isEnough;
}

/**
 * Where a host has Node 24 on its path, and npm as it is set up on this machine (proxies, certificates); no other variable
 * of ours.
 */
export const hostEnvironment = (): Record<string, string> => ({
  PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
  ...(process.env.HOME !== undefined && { HOME: process.env.HOME }),
  npm_config_globalconfig: npmGlobalConfig(),
  // What npm has fetched before it need not ask for again; else this changes nothing.
  npm_config_prefer_offline: 'true',
  // It would ask for the faults of every package, each time.
  npm_config_audit: 'false',
  npm_config_update_notifier: 'false',
});

let globalConfig: string | undefined;

/** npm looks for it beside the Node that runs it, which is another one in these tests. */
function npmGlobalConfig(): string {
  globalConfig ??=
    process.env.npm_config_globalconfig ??
    execFileSync('npm', ['config', 'get', 'globalconfig'], { encoding: 'utf8' }).trim();
  return globalConfig;
}

/**
 * Runs a command to its end, as hosts do: in a shell.
 *
 * @returns what it printed. @throws when it fails, with that.
 */
export async function runCommand(
  command: string,
  cwd: string,
  env: Record<string, string> = {},
): Promise<string> {
  const child = spawn('sh', ['-c', command], {
    cwd,
    env: { ...hostEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${stdout}${stderr}`);
  return stdout + stderr;
}

/** Starts Mailgress by a command without a shell, so that signals are its own. */
export function startCommand(
  words: readonly string[],
  cwd: string,
  env: Record<string, string>,
): MailgressProcess {
  const [program = '', ...args] = words;
  return watchMailgress(
    spawn(program, args, { cwd, env: { ...hostEnvironment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] }),
  );
}
