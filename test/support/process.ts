import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { isAlive, readPostmasterFile } from '../../src/store/embedded/postmaster-file.ts';
import { waitUntil } from './embedded-place.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** As `bin/mailgress.js` has one: most of what a command takes is reading its sources. */
const compileCache = fileURLToPath(new URL('../../node_modules/.cache/node', import.meta.url));

/** Mailgress in a process of its own, that is killed when the test leaves the scope. */
export type MailgressProcess = AsyncDisposable & {
  pid: number;
  /** Where it listens, once it says so; rejects with what it wrote if it ends before. */
  ready(): Promise<string>;
  /** What it has written to standard error so far. */
  stderr(): string;
  /** Resolves once it has written `text` to standard error. */
  says(text: string): Promise<void>;
  /** Resolves once it has written `text` to standard output. */
  prints(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  ended: Promise<Ended>;
};

export type Ended = {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** Standard error without the log: what a person is told. */
  told: string[];
};

/**
 * Starts `node src/main.ts` with this environment and nothing else of ours but a compile cache, on any free port unless PORT is given.
 *
 * `ownGroup`: in a process group of its own, as a terminal would run it.
 */
export function startMailgress(
  args: readonly string[],
  env: Record<string, string>,
  { ownGroup = false } = {},
): MailgressProcess {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: tmpdir(),
    env: { ...commandEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: ownGroup,
  });
  return watchMailgress(child);
}

/** What a command has of our environment: nothing that would say how it is configured. */
export const commandEnvironment = () => ({
  PATH: process.env.PATH,
  PORT: '0',
  NODE_COMPILE_CACHE: compileCache,
});

/** A child that runs Mailgress, however it was started. */
export function watchMailgress(child: ChildProcessByStdio<null, Readable, Readable>): MailgressProcess {
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  let isOver = false;
  const ended = once(child, 'close').then(([code, signal]): Ended => {
    isOver = true;
    const told = output.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{"level"'));
    return { code, signal, ...output, told };
  });

  async function until<T>(what: string, find: () => T | undefined): Promise<T> {
    let found: T | undefined;
    await waitUntil(what, () => {
      found = find();
      if (found === undefined && isOver)
        throw new Error(`ended before ${what}:\n${output.stdout}${output.stderr}`);
      return found !== undefined;
    });
    return found as T; // waitUntil holds until it is defined
  }

  return {
    // A failed spawn has none, and `ended` then tells.
    pid: child.pid ?? 0,
    ready: () => until('it listens', () => /listens on (\S+)\n/.exec(output.stdout)?.[1]),
    prints: (text) =>
      until(`it prints "${text}"`, () => output.stdout.includes(text) || undefined).then(() => {}),
    stderr: () => output.stderr,
    says: (text) =>
      until(`it says "${text}"`, () => output.stderr.includes(text) || undefined).then(() => {}),
    kill: (signal) => void child.kill(signal),
    ended,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** A data directory of a test's own. Left behind: no file, and no postmaster of whoever was killed on it. */
export type DataDirectory = AsyncDisposable & {
  path: string;
  /** The embedded PostgreSQL that runs on it, or last ran on it and was killed. */
  postmaster(): Promise<{ pid: number; port: number } | undefined>;
};

export async function createDataDirectory(): Promise<DataDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'mailgress-cli-'));
  // As root PostgreSQL runs as another user, who must be able to pass.
  await chmod(path, 0o711);

  async function postmaster() {
    const file = await readPostmasterFile(join(path, 'postgres', 'data'));
    return file?.pid && file.port ? { pid: file.pid, port: file.port } : undefined;
  }

  return {
    path,
    postmaster,
    async [Symbol.asyncDispose]() {
      const left = await postmaster();
      if (left !== undefined && isAlive(left.pid)) {
        process.kill(left.pid, 'SIGQUIT');
        await waitUntil('the postmaster has gone', async () => !(await isListening(left.port)));
      }
      await rm(path, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}

/** Whether anyone takes connections on this port of 127.0.0.1, or at this socket. */
export async function isListening(place: number | string): Promise<boolean> {
  const socket = typeof place === 'number' ? connect(place, '127.0.0.1') : connect(place);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
