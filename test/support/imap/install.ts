import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';

/*
 * A real Dovecot 2.3 for the tests of IMAP. `installDovecot` belongs in the global set-up, where it runs once before
 * any test file; the files themselves ask `skipWithoutDovecot`, which only looks.
 */

export type Dovecot = { dovecot: string } | { missing: string };

const run = promisify(execFile);
const COMMAND = 'apt-get install -y --no-install-recommends dovecot-imapd dovecot-lmtpd';
const FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/sbin'];
/** What starts services on Debian asks this program first; 101 says no. */
const POLICY = '/usr/sbin/policy-rc.d';
const LOCK = join(tmpdir(), 'mailgress-dovecot-install.lock');
/** Longer than an installation takes: a lock that old is of a process that was killed. */
const LOCK_STALE_MS = 300_000;

let found: Promise<Dovecot> | undefined;

/** Where Dovecot is, or what to say when there is none. Installs nothing. */
export function findDovecot(): Promise<Dovecot> {
  found ??= lookForDovecot();
  return found;
}

/**
 * As `findDovecot`, and installs it where we are root on Debian or Ubuntu. No system service is left running. A repeat
 * does nothing; processes that call it at once wait for each other.
 */
export async function ensureDovecot(): Promise<Dovecot> {
  const before = await findDovecot();
  if ('dovecot' in before || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return before;
  await withLock(async () => {
    found = undefined;
    if ('dovecot' in (await findDovecot())) return;
    found = install().then(lookForDovecot, (cause: Error) => ({
      missing: `Dovecot cannot be installed (${COMMAND}): ${cause.message}`,
    }));
    await found;
  });
  return findDovecot();
}

/** For the global set-up of a test run; under CI a Dovecot that is missing ends the run. */
export async function installDovecot(): Promise<void> {
  const result = await ensureDovecot();
  if ('missing' in result && process.env.CI !== undefined) throw new Error(result.missing);
}

/**
 * For `describe(name, { skip: await skipWithoutDovecot() }, ...)`: false, or why the tests are skipped. Under CI they
 * are never skipped: it throws.
 */
export async function skipWithoutDovecot(): Promise<string | false> {
  const result = await findDovecot();
  if ('dovecot' in result) return false;
  if (process.env.CI !== undefined) throw new Error(result.missing);
  return result.missing;
}

async function lookForDovecot(): Promise<Dovecot> {
  const folders = [...(process.env.PATH ?? '').split(':').filter(Boolean), ...FOLDERS];
  const path = folders.map((folder) => join(folder, 'dovecot')).find((candidate) => existsSync(candidate));
  if (path === undefined) return { missing: `These tests need Dovecot 2.3: ${COMMAND}` };
  const { stdout } = await run(path, ['--version']);
  // 2.4 reads another configuration language.
  if (!stdout.startsWith('2.3.'))
    return { missing: `These tests need Dovecot 2.3 and ${path} is ${stdout.trim()}` };
  const lmtp = '/usr/lib/dovecot/lmtp';
  if (path.startsWith('/usr/sbin/') && !existsSync(lmtp))
    return { missing: `These tests need Dovecot's LMTP, and there is no ${lmtp}: ${COMMAND}` };
  return { dovecot: path };
}

async function install(): Promise<void> {
  // Written only where there is none, as in most images there is.
  const isOurs = !existsSync(POLICY);
  if (isOurs) await writeFile(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const [program = '', ...args] = COMMAND.split(' ');
  try {
    await run(program, args, { env }).catch(async () => {
      await run(program, ['update'], { env });
      await run(program, args, { env });
    });
  } finally {
    if (isOurs) await rm(POLICY, { force: true });
  }
}

async function withLock(work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await mkdir(LOCK);
      break;
    } catch {
      if (await isAbandoned()) await rm(LOCK, { recursive: true, force: true });
      else await wait(100);
    }
  }
  try {
    await writeFile(join(LOCK, 'pid'), String(process.pid));
    await work();
  } finally {
    await rm(LOCK, { recursive: true, force: true });
  }
}

async function isAbandoned(): Promise<boolean> {
  try {
    const pid = await readFile(join(LOCK, 'pid'), 'utf8').catch(() => undefined);
    if (pid !== undefined) return !(await isThere(`/proc/${pid}`));
    return Date.now() - (await stat(LOCK)).mtimeMs > LOCK_STALE_MS;
  } catch {
    return false;
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
