import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { readPostmasterFile } from '../../src/store/embedded/postmaster-file.ts';
import { type EmbeddedDatabase, type EmbeddedOptions, openEmbedded } from '../../src/store/embedded.ts';

/** Room for one embedded database, in a directory of its own that is removed at the end. */
export type Place = AsyncDisposable & {
  root: string;
  directory: string;
  data: string;
  /** What `openEmbedded` logged. */
  log: string[];
  /** What `openEmbedded` answers; it is stopped when the test leaves the scope. */
  open(
    mode?: 'own' | 'join',
    options?: Partial<EmbeddedOptions>,
  ): Promise<EmbeddedDatabase & AsyncDisposable>;
  /** Another process, in a group of its own, that opens the database as its owner. */
  startOwner(): Owner;
  postmasterPid(): Promise<number>;
};

export type Owner = AsyncDisposable & {
  child: ChildProcess;
  opened(): Promise<unknown>;
  kill(): Promise<void>;
};

export async function createPlace(): Promise<Place> {
  const root = await mkdtemp(join(tmpdir(), 'mailgress-embedded-'));
  // As root the server runs as another user, who must be able to pass.
  await chmod(root, 0o711);
  const directory = join(root, 'postgres');
  const data = join(directory, 'data');
  const log: string[] = [];
  const common = { directory, systemDirectory: join(root, 'system') };

  async function open(mode: 'own' | 'join' = 'own', options: Partial<EmbeddedOptions> = {}) {
    const database = await openEmbedded({ ...common, mode, log: (message) => log.push(message), ...options });
    return { ...database, [Symbol.asyncDispose]: database.stop };
  }

  function startOwner(): Owner {
    const entry = import.meta.resolve('../../src/store/embedded.ts');
    const script = `
      const { openEmbedded } = await import(${JSON.stringify(entry)});
      await openEmbedded({ ...${JSON.stringify(common)}, mode: 'own', log() {} });
      console.log('open');`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return {
      child,
      opened: () => once(child.stdout, 'data'),
      kill: () => kill(child),
      async [Symbol.asyncDispose]() {
        await kill(child);
        // Its server outlives it: adopted, then stopped.
        await (await open('join')).stop();
      },
    };
  }

  async function postmasterPid(): Promise<number> {
    const file = await readPostmasterFile(data);
    if (!file?.pid) throw new Error(`no postmaster.pid in ${data}`);
    return file.pid;
  }

  return {
    root,
    directory,
    data,
    log,
    open,
    startOwner,
    postmasterPid,
    // An initdb whose starter was killed may write for a moment longer.
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true, maxRetries: 10 }),
  };
}

/** Ends our child with SIGKILL and waits for its end. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** Polls until `claim` holds; a generous bound, as other work shares the machine. */
export async function waitUntil(what: string, claim: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!(await claim())) {
    if (performance.now() > deadlineMs) throw new Error(`after 60 s it is still not so that ${what}`);
    await sleep(20);
  }
}

/** One query on a connection of its own. */
export async function query(url: string, text: string): Promise<postgres.Row[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return await sql.unsafe(text);
  } finally {
    await sql.end({ timeout: 5 });
  }
}
