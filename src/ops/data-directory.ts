import { randomUUID } from 'node:crypto';
import { chmod, link, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { describeError, MailgressError } from '../core/errors.ts';

/** The running instance of a data directory, as told to command-line clients and to a second start. */
export type Instance = z.infer<typeof instanceSchema>;

const instanceSchema = z.object({ pid: z.int().positive(), url: z.url(), startedAt: z.coerce.date() });
const INSTANCE_FILE = 'instance.json';

/**
 * The absolute path of the data directory `path`, which is created when missing; an existing one is left as
 * it is. Every file put into it is 0600.
 *
 * @throws MailgressError `configuration` when it cannot be created or is no directory.
 */
export async function openDataDirectory(path: string): Promise<string> {
  const directory = resolve(path);
  try {
    const created = await mkdir(directory, { recursive: true });
    // As root PostgreSQL runs as a system user, who has to pass through. Set apart from mkdir, which would
    // take bits away by the umask.
    if (created) await chmod(directory, process.getuid?.() === 0 ? 0o711 : 0o700);
    if ((await stat(directory)).isDirectory()) return directory;
    throw new Error('it is a file');
  } catch (error) {
    throw faultOf(directory, 'cannot be used as the data directory', error);
  }
}

/**
 * The secret kept in file `name` of `directory`, without white space around it. Made by `generate` the first
 * time and on disk before it is returned; of two processes that make it at once, both get the same.
 *
 * @throws MailgressError `configuration` when the file is empty or cannot be read or written. An empty file
 *   is never filled again: what the lost secret protects would be lost for good, silently.
 */
export async function readOrCreateSecret(
  directory: string,
  name: string,
  generate: () => string,
): Promise<string> {
  const path = join(directory, name);
  try {
    const secret = (await readIfPresent(path)) ?? (await createSecret(path, generate()));
    if (secret.trim() !== '') return secret.trim();
  } catch (error) {
    throw faultOf(path, 'cannot be read or created', error);
  }
  throw new MailgressError(
    'configuration',
    `${path} is empty, but should hold a secret: restore it from a backup, or delete it to have a new one made`,
  );
}

async function createSecret(path: string, secret: string): Promise<string> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, `${secret}\n`, { mode: 0o600, flag: 'wx', flush: true });
    // A link, unlike a rename, fails when another process was first; that one's secret then counts.
    await link(draft, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(draft, { force: true });
  }
  return readFile(path, 'utf8');
}

/** Says in `directory` that `instance` is running there, replacing what was said before. */
export async function writeInstance(directory: string, instance: Instance): Promise<void> {
  const path = join(directory, INSTANCE_FILE);
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, `${JSON.stringify(instance)}\n`, { mode: 0o600 });
  await rename(draft, path);
}

/**
 * The instance last said to run in `directory`; undefined when there is none or its file makes no sense.
 * One that was killed is still there: only an answer from its `url` proves it alive.
 */
export async function readInstance(directory: string): Promise<Instance | undefined> {
  const text = await readIfPresent(join(directory, INSTANCE_FILE));
  if (text === undefined) return undefined;
  try {
    return instanceSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Takes back what process `pid` said by `writeInstance`; another's is left alone. */
export async function removeInstance(directory: string, pid: number = process.pid): Promise<void> {
  if ((await readInstance(directory))?.pid === pid) await rm(join(directory, INSTANCE_FILE), { force: true });
}

async function readIfPresent(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

function faultOf(path: string, claim: string, cause: unknown): MailgressError {
  return new MailgressError(
    'configuration',
    `${path} ${claim}: ${describeError(cause)}. Make it accessible, or set MAILGRESS_DATA_DIR to another`,
    { cause },
  );
}
