import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import postgres from 'postgres';
import { readPostmasterFile } from '../../src/store/embedded/postmaster-file.ts';
import { type EmbeddedDatabase, type EmbeddedOptions, openEmbedded } from '../../src/store/embedded.ts';

/** Room for one embedded database; when its test has ended, so have its processes and files. */
export type Place = AsyncDisposable & {
  root: string;
  directory: string;
  data: string;
  /** What `openEmbedded` logged. */
  log: string[];
  open(mode?: 'own' | 'join', options?: Partial<EmbeddedOptions>): Promise<EmbeddedDatabase>;
  /** Another process that opens the database as its owner, in a process group of its own. */
  startOwner(): ChildProcess;
  postmasterPid(): Promise<number>;
};

/** With `template`, the directory of a stopped database, the place begins with a copy of that one. */
export async function createPlace(template?: string): Promise<Place> {
  const root = await mkdtemp(join(tmpdir(), 'mailgress-embedded-'));
  // As root the server runs as another user, who must be able to pass.
  await chmod(root, 0o711);
  const directory = join(root, 'postgres');
  // Ten times as fast as node's own cp, and keeps owners.
  if (template) await promisify(execFile)('cp', ['-Rp', template, directory]);
  const data = join(directory, 'data');
  const log: string[] = [];
  const undo = new AsyncDisposableStack();
  undo.defer(() => rm(root, { recursive: true, force: true, maxRetries: 10 }));

  return {
    root,
    directory,
    data,
    log,
    async open(mode = 'own', options = {}) {
      const database = await openEmbedded({
        directory,
        mode,
        log: (message) => log.push(message),
        systemDirectory: join(root, 'system'),
        ...options,
      });
      undo.defer(() => database.stop());
      return database;
    },
    startOwner() {
      const entry = JSON.stringify(import.meta.resolve('../../src/store/embedded.ts'));
      const options = JSON.stringify({ directory, mode: 'own', systemDirectory: join(root, 'system') });
      const script = `
        const { openEmbedded } = await import(${entry});
        await openEmbedded({ ...${options}, log() {} });
        console.log('open');`;
      const owner = spawn(process.execPath, ['--input-type=module', '--eval', script], {
        detached: true,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      undo.defer(async () => {
        await kill(owner);
        // Its server outlives it: adopted, then stopped.
        const left = await openEmbedded({
          directory,
          mode: 'join',
          log() {},
          systemDirectory: join(root, 'system'),
        });
        await left.stop();
      });
      return owner;
    },
    async postmasterPid() {
      const file = await readPostmasterFile(data);
      if (!file) throw new Error(`no postmaster.pid in ${data}`);
      return file.pid;
    },
    [Symbol.asyncDispose]: () => undo.disposeAsync(),
  };
}

/** Resolves when an owner started by `startOwner` has the database open. */
export async function waitForOpen(owner: ChildProcess): Promise<void> {
  if (!owner.stdout) throw new Error('the owner has no stdout');
  await once(owner.stdout, 'data');
}

/** Ends our child with SIGKILL, or `signal` to its whole group, and waits for its end. */
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
