import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Sql } from 'postgres';
import { waitUntil } from '../support/embedded-place.ts';
import type { Dovecot } from '../support/imap/dovecot.ts';
import type { Fault } from '../support/imap/fault.ts';
import type { FaultProxy } from '../support/imap/fault-proxy.ts';
import { type MailgressProcess, startMailgress } from '../support/process.ts';
import type { Random } from '../support/random.ts';

export type Scene = {
  sql: Sql;
  dovecot: Dovecot;
  proxy: FaultProxy;
  users: readonly string[];
  random: Random;
  workers: Workers;
};

/** What befalls connections, at any time. Bytes that change within a mail are not among it: nobody could notice. */
export const FAULTS: readonly Fault[] = [
  { kind: 'cut', how: 'end' },
  { kind: 'cut', how: 'reset' },
  { kind: 'cut', how: 'reset', afterServerBytes: 17 },
  { kind: 'cut', how: 'end', afterServerBytes: 3000 },
  { kind: 'black-hole' },
  { kind: 'half-open' },
  { kind: 'slow', bytesPerSecond: 2000, delayMs: 50 },
  { kind: 'bye' },
  { kind: 'bye', text: '[UNAVAILABLE] Try later' },
  { kind: 'inject', bytes: '* 17 garbage (\r\n', at: 'response-end' },
  { kind: 'inject', bytes: '* 3 EXPUNGE\r\n* 1 EXISTS\r\n', at: 'response-end' },
  { kind: 'endless-literal' },
  { kind: 'endless-line' },
];

/** What befalls the server, the mailboxes and the workers, one after the other. */
export const PERILS = {
  kill: ({ workers, random }) => workers.kill(random.below(2)),
  'kill all': ({ workers }) => workers.killAll(),
  steal: async ({ sql, random }) => {
    const held = await sql<
      { id: string }[]
    >`SELECT id FROM sources WHERE lease_owner IS NOT NULL ORDER BY id`;
    if (held.length === 0) return;
    await sql`
      UPDATE sources SET fence = fence + 1, lease_owner = ${randomUUID()}, lease_until = now()
      WHERE id = ${random.pick(held).id}`;
  },
  flip: async ({ dovecot, users, random }) => {
    await persist(() => dovecot.flipUidValidity(random.pick(users), random.pick(['INBOX', 'Junk'])));
  },
  move: async ({ dovecot, users, random }) => {
    const user = random.pick(users);
    const [from, to] = random.pick([
      ['INBOX', 'Junk'],
      ['Junk', 'INBOX'],
    ] as const);
    // The newest, which may not have been read yet.
    await persist(async () => {
      const { uidNext } = await dovecot.status(user, from);
      await dovecot.move(user, from, to, `UID ${Math.max(1, uidNext - 1 - random.below(6))}:*`);
    });
  },
  restart: async ({ dovecot, random }) => dovecot.restart(random.pick(['in order', 'killed'])),
  /** Comes back without what it knew of its mail: new UIDVALIDITYs, and other UIDs. */
  'lost index': async ({ dovecot, users, random }) => {
    const user = random.pick(users);
    await dovecot.halt();
    for (const folder of ['INBOX', 'Junk']) {
      for (const name of ['dovecot-uidlist', 'dovecot.index', 'dovecot.index.log', 'dovecot.index.cache'])
        await rm(join(dovecot.maildir(user, folder), name), { force: true });
    }
    await rm(join(dovecot.maildir(user), 'dovecot-uidvalidity'), { force: true });
    await dovecot.start();
  },
  refuse: async ({ proxy, random }) => {
    proxy.refuse();
    proxy.set({ kind: 'cut', how: 'reset' }, 'open');
    await wait(500 + random.below(2000));
    await proxy.accept();
  },
  'silent greetings': async ({ proxy, random }) => {
    proxy.set({ kind: 'greeting', afterMs: 'never' }, 'new');
    await wait(500 + random.below(2000));
    proxy.set({ kind: 'pass' }, 'new');
  },
} satisfies Record<string, (scene: Scene) => Promise<void>>;

export type Peril = keyof typeof PERILS;

/** The server may be busy with the mailbox. */
async function persist(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return void (await work());
    } catch (error) {
      if (tries === 5) throw error;
      await wait(300);
    }
  }
}

/** Two `mailgress worker`, killed and started again. */
export class Workers {
  readonly sql: Sql;
  readonly env: Record<string, string>;
  /** Ends that nobody asked for. */
  readonly crashes: string[] = [];
  kills = 0;
  #running: { process: MailgressProcess; holder: string }[] = [];

  constructor(sql: Sql, env: Record<string, string>) {
    this.sql = sql;
    this.env = env;
  }

  async startAll(): Promise<void> {
    for (const at of [0, 1]) this.#running[at] = await this.#start();
  }

  async kill(at: number): Promise<void> {
    await this.#end(at);
    this.#running[at] = await this.#start();
  }

  async killAll(): Promise<void> {
    await Promise.all([this.#end(0), this.#end(1)]);
    await this.startAll();
  }

  /** @returns the exit codes. */
  async stop(): Promise<(number | null)[]> {
    const processes = this.#running.map(({ process }) => process);
    for (const one of processes) one.kill('SIGTERM');
    return Promise.all(processes.map(async ({ ended }) => (await ended).code));
  }

  async abort(): Promise<void> {
    await Promise.all(this.#running.map(({ process }) => process[Symbol.asyncDispose]()));
  }

  /** All that they have logged. */
  logs(): string[] {
    const ofRunning = this.#running.flatMap(({ process }) => process.stderr().split('\n'));
    return [...this.#logs, ...ofRunning];
  }

  /** What they have logged of faults of ours. */
  complaints(): string[] {
    return this.logs().filter((line) => line.includes('"level":"error"'));
  }

  readonly #logs: string[] = [];

  async #start(): Promise<{ process: MailgressProcess; holder: string }> {
    const before = await this.#holders();
    const process = startMailgress(['worker'], this.env);
    void process.ended.then(({ code, signal, stderr }) => {
      if (signal === 'SIGKILL') this.#logs.push(...stderr.split('\n'));
      if (code !== null && code !== 0) this.crashes.push(`exit ${code}: ${stderr.slice(-2000)}`);
    });
    let holder: string | undefined;
    await waitUntil('a worker runs', async () => {
      holder = (await this.#holders()).find((one) => !before.includes(one));
      return holder !== undefined || this.crashes.length > 0;
    });
    assert.deepEqual(this.crashes, []);
    return { process, holder: holder ?? '' };
  }

  async #holders(): Promise<string[]> {
    const rows = await this.sql<{ holder: string }[]>`SELECT holder FROM workers`;
    return rows.map(({ holder }) => holder);
  }

  /** Killed, and so long gone that what it held is free: a lease is 45 s, which others have a test of. */
  async #end(at: number): Promise<void> {
    const running = this.#running[at];
    if (running === undefined) return;
    this.kills++;
    running.process.kill('SIGKILL');
    await running.process.ended;
    await this.sql`DELETE FROM workers WHERE holder = ${running.holder}`;
    await this
      .sql`UPDATE sources SET lease_until = now() WHERE starts_with(lease_owner::text, ${running.holder})`;
  }
}
