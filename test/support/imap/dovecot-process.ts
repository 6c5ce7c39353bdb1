import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { isListening } from '../process.ts';
import type { DovecotLog } from './dovecot-log.ts';

/** `dovecot -F` and what it starts, in a process group of their own. */
export type DovecotProcess = {
  pid: number;
  signal(signal: NodeJS.Signals): void;
  /** Ends every process of it: in order, so that sessions are told BYE, or all at once. */
  stop(how: 'in order' | 'killed'): Promise<void>;
};

/** Resolves once it greets on `port`; rejects with what it said if it ends before. */
export async function startDovecotProcess(
  program: string,
  {
    configPath,
    directory,
    port,
    log,
  }: { configPath: string; directory: string; port: number; log: DovecotLog },
): Promise<DovecotProcess> {
  const child = spawn(program, ['-F', '-c', configPath], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said += said.length < 10_000 ? chunk : '';
    log.add(chunk);
  });
  // A Dovecot that a failed test has left behind does not hold the process: the reaper ends it.
  child.unref();
  (child.stderr as unknown as { unref(): void }).unref(); // A pipe is a socket, and the types know a stream only.
  let isOver = false;
  const ended = once(child, 'exit').then(
    () => {
      isOver = true;
    },
    (error: Error) => {
      isOver = true;
      said += error.message;
    },
  );
  const { pid } = child;
  const reaper = pid === undefined ? undefined : startReaper(pid, directory);

  function signal(name: NodeJS.Signals): void {
    if (pid === undefined) return;
    try {
      process.kill(-pid, name);
    } catch {
      // None is left of the group.
    }
  }

  async function stop(how: 'in order' | 'killed'): Promise<void> {
    child.ref();
    if (how === 'in order') {
      child.kill('SIGTERM');
      await ended;
    }
    signal('SIGKILL');
    await ended;
    // Its children have been sent the signal as well, and hold the port and the sockets until they are gone: the next one would
    // take them for another Dovecot's.
    while (await isListening(port)) await wait(2);
    for (const path of await findSockets(join(directory, 'run')))
      while (await isListening(path)) await wait(2);
    reaper?.kill('SIGKILL');
  }

  while (!isOver && !(await isGreeting(port))) await wait(3);
  if (isOver) {
    await stop('killed');
    throw new Error(`Dovecot ended at once: ${said}`);
  }
  return { pid: pid ?? 0, signal, stop };
}

/**
 * Ends the group and removes the directory when this process is gone, however it went: the pipe then closes. Killed
 * itself when the test stops its Dovecot in order.
 */
function startReaper(pid: number, directory: string): ChildProcess {
  const script = 'read -r _; kill -s KILL -- "-$1"; rm -rf -- "$2"';
  const reaper = spawn('sh', ['-c', script, 'reaper', String(pid), directory], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  reaper.unref();
  // A pipe is a socket here, which would hold this process; the types know it as a stream only.
  (reaper.stdin as unknown as { unref?(): void } | null)?.unref?.();
  reaper.stdin?.on('error', () => {});
  return reaper;
}

async function findSockets(directory: string): Promise<string[]> {
  // Not there when it ended at once.
  const entries = await readdir(directory, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries.filter((entry) => entry.isSocket()).map((entry) => join(entry.parentPath, entry.name));
}

async function isGreeting(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    const [chunk] = await once(socket, 'data');
    return String(chunk).startsWith('* OK');
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
