import { createContext, Script } from 'node:vm';
import { readScript } from '../../src/sources/apps-script/script.ts';
import { createGmail, type Fault } from './gmail-service.ts';
import { createServices, type Services } from './services.ts';
import type { World } from './world.ts';

/*
 * Google's side of an Apps Script: executions of one script, each in a global object of its own, with the services it
 * may call, Google's limits on them, and triggers on a virtual clock. An execution can be ended at any call.
 */

export type Runtime = {
  /** One execution of a function, as by its button. Throws what it throws. */
  run(name: string, ...args: unknown[]): unknown;
  /** Lets the clock run to this time, and with it the triggers. */
  runUntil(time: number): void;
  /** What was kept, by name of the property; of the person who runs it. */
  properties: Map<string, string>;
  triggers: Trigger[];
  /** Executions so far, whoever began them. */
  executions: Execution[];
  /** What the script said to its log. */
  log: string[];
  /** Calls of services so far. */
  calls: Call[];
  /** Called before any service call takes effect; `kill` ends the execution there, `killAfter` once it has. */
  onCall: (call: Call) => 'kill' | 'killAfter' | undefined;
  /** What goes wrong in Gmail: the first that answers, in place of Gmail. */
  faults: Fault[];
  /** Whether Gmail puts all mails of a page of history into one record. */
  joinHistory: boolean;
  /** What answers the script's posts in place of the service: the first that does. */
  serverFaults: ((post: Post) => ServerAnswer | undefined)[];
  /** What the script posted so far, and what it was answered. */
  posts: Post[];
  settings: Settings;
  /** What the script keeps of itself. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it at many places
  state: any;
};

export type Settings = {
  account: string;
  /** How Gmail gives `raw`. */
  rawShape: 'text' | 'bytes';
  /** How long one call of a service takes, in ms. */
  latency: (call: Call) => number;
  quota: { urlFetches: number; gmailReads: number; propertyCalls: number; triggerMs: number };
};

export type Post = {
  at: number;
  /** Its `webhook-id`. */
  id: string;
  bytes: number;
  // biome-ignore lint/suspicious/noExplicitAny: bodies of several shapes
  body: any;
  /** 0 until it is answered. */
  status: number;
};
export type ServerAnswer = { status: number; headers?: Record<string, string>; body?: string };
export type Call = { index: number; execution: number; name: string };
export type Trigger = { id: string; handler: string; minutes: number; nextAt: number };
export type Execution = {
  startedAt: number;
  ms: number;
  name: string;
  isTriggered: boolean;
  error: string | null;
  isKilled: boolean;
};

/** https://developers.google.com/apps-script/guides/services/quotas, of consumer accounts. */
const QUOTA = { urlFetches: 20_000, gmailReads: 20_000, propertyCalls: 50_000, triggerMs: 90 * 60_000 };
/** The same page: "Script runtime". */
const WALL_MS = 6 * 60_000;
const DAY_MS = 24 * 60 * 60_000;

/** Thrown at a call where the execution is ended; nothing it does after that has an effect. */
class Killed extends Error {}

export function createRuntime(
  world: World,
  account: string,
  { script = readScript(), now = world.clock.now } = {},
): Runtime {
  const { clock } = world;
  clock.now = now;
  const compiled = new Script(script, { filename: 'Code.js' });
  let current: { index: number; startedAt: number; isDead: boolean } | undefined;

  const runtime: Runtime = {
    run: (name, ...args) => execute(name, args, false),
    runUntil,
    properties: new Map(),
    triggers: [],
    executions: [],
    log: [],
    calls: [],
    onCall: () => undefined,
    faults: [],
    joinHistory: false,
    serverFaults: [],
    posts: [],
    settings: { account, rawShape: 'text', latency: () => 40, quota: { ...QUOTA } },
    get state() {
      return JSON.parse(runtime.properties.get('mailgress.state') ?? '{}');
    },
  };

  /** Every call of a service comes through here, takes its time, and may be the last of its execution. */
  const call: Services['call'] = (name, effect) => {
    const execution = current;
    if (execution === undefined || execution.isDead) throw new Killed(name);
    const one = { index: runtime.calls.length, execution: execution.index, name };
    runtime.calls.push(one);
    const verdict = runtime.onCall(one);
    clock.now += runtime.settings.latency(one);
    if (clock.now - execution.startedAt > WALL_MS || verdict === 'kill') return die(name);
    // Another execution may have run meanwhile, and is over.
    current = execution;
    const value = effect();
    if (verdict === 'killAfter') return die(name);
    return value;

    function die(where: string): never {
      if (execution !== undefined) execution.isDead = true;
      throw new Killed(where);
    }
  };
  const services: Services = { call, runtime, world, countToday: createCounters(clock) };

  function execute(name: string, args: unknown[], isTriggered: boolean): unknown {
    const outer = current;
    const execution = { index: runtime.executions.length, startedAt: clock.now, isDead: false };
    current = execution;
    const record: Execution = {
      startedAt: clock.now,
      ms: 0,
      name,
      isTriggered,
      error: null,
      isKilled: false,
    };
    runtime.executions.push(record);
    const { globals, release } = createServices(services);
    const context = createContext({
      ...globals,
      Gmail: createGmail(services),
      now: () => clock.now,
      console: Object.fromEntries(
        ['log', 'info', 'warn', 'error'].map((level) => [
          level,
          (text: string) => void runtime.log.push(`${level} ${text}`),
        ]),
      ),
    });
    virtualDate.runInContext(context);
    compiled.runInContext(context);
    try {
      if (typeof context[name] !== 'function') throw new Error(`Script function not found: ${name}`);
      return context[name](...args);
    } catch (error) {
      if (!execution.isDead) record.error = String(Object(error).message ?? error);
      if (!execution.isDead && !isTriggered) throw error;
      return undefined;
    } finally {
      // However it ended, Google lets go of its locks.
      release();
      record.isKilled = execution.isDead;
      record.ms = clock.now - execution.startedAt;
      current = outer;
    }
  }

  /** What triggers took since then, backwards: a week has ten thousand executions. */
  function spentSince(time: number): number {
    let sum = 0;
    for (let i = runtime.executions.length - 1; i >= 0; i--) {
      const { startedAt, isTriggered, ms } = runtime.executions[i] ?? {
        startedAt: 0,
        isTriggered: false,
        ms: 0,
      };
      if (startedAt <= time) break;
      if (isTriggered) sum += ms;
    }
    return sum;
  }

  function runUntil(time: number): void {
    for (;;) {
      const due = runtime.triggers
        .filter(({ nextAt }) => nextAt <= time)
        .sort((a, b) => a.nextAt - b.nextAt)[0];
      if (due === undefined) break;
      clock.now = Math.max(clock.now, due.nextAt);
      // Missed turns are not made up for.
      while (due.nextAt <= clock.now) due.nextAt += due.minutes * 60_000;
      const spentMs = spentSince(clock.now - DAY_MS);
      if (spentMs > runtime.settings.quota.triggerMs) {
        const error = 'Service using too much computer time for one day';
        const startedAt = clock.now;
        runtime.executions.push({
          startedAt,
          ms: 0,
          name: due.handler,
          isTriggered: true,
          error,
          isKilled: false,
        });
        continue;
      }
      execute(due.handler, [{ triggerUid: due.id }], true);
    }
    clock.now = Math.max(clock.now, time);
  }

  return runtime;
}

/** Apps Script's own Date, on the virtual clock. */
const virtualDate = new Script(`{
  const { now } = globalThis;
  const RealDate = Date;
  globalThis.Date = class extends RealDate {
    constructor(...given) { super(...(given.length === 0 ? [now()] : given)); }
    static now() { return now(); }
  };
  delete globalThis.now;
}`);

/** Counts by name; each day of a count begins with its first, as Google's quotas do. */
function createCounters(clock: { now: number }): (name: string) => number {
  const counters = new Map<string, { since: number; count: number }>();
  return (name) => {
    let counter = counters.get(name);
    if (counter === undefined || clock.now - counter.since >= DAY_MS) {
      counter = { since: clock.now, count: 0 };
      counters.set(name, counter);
    }
    return ++counter.count;
  };
}
