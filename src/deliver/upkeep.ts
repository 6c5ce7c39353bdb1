import type { Logger } from 'pino';
import type { Database } from '../store/database.ts';
import { deletePendingOfNoEndpoint } from '../store/endpoints.ts';
import { wakeAllLanes } from '../store/lanes.ts';
import { advanceReplay } from '../store/replays.ts';
import { pruneSubjectGroups } from '../store/subject-groups.ts';
import { describeStoreError } from '../store/unavailable.ts';

const LOOK_MS = 1000;
/** Between two steps of one replay; with the deliveries that may wait at a time it bounds its pace. */
const REPLAY_PAUSE_MS = 100;
/** Lanes are woken by whoever makes room in them. This is for one that died before it did. */
const LANES_MS = 5000;
const PRUNE_MS = 3_600_000;

/**
 * What moves by no delivery: replays are queued step by step, forgotten lanes woken, old windows of subject groups dropped,
 * and what is pending for no endpoint. In every process that dispatches; they share replays by their rows' locks.
 */
export function startUpkeep(options: {
  database: Database;
  log: Logger;
  /** Called when deliveries have become due. */
  onDue: () => void;
  lookMs?: number | undefined;
  pruneMs?: number | undefined;
}): { wake(): void; stop(): Promise<void> } {
  const { database, log, onDue, lookMs = LOOK_MS, pruneMs = PRUNE_MS } = options;
  const sql = database.hot;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let isStopped = false;
  let isWanted = false;
  let lanesAtMs = performance.now() + LANES_MS;
  let pruneAtMs = performance.now() + pruneMs;

  function wake(): void {
    isWanted = true;
    if (isStopped || looking !== undefined) return;
    clearTimeout(timer);
    isWanted = false;
    let nextMs = lookMs;
    looking = look()
      .then((isReplaying) => {
        if (isReplaying) nextMs = Math.min(REPLAY_PAUSE_MS, lookMs);
      })
      .catch((error) => log.warn({ reason: describeStoreError(error) }, 'could not look after deliveries'))
      .finally(() => {
        looking = undefined;
        if (isStopped) return;
        timer = setTimeout(wake, isWanted ? 0 : nextMs);
      });
  }

  /** @returns whether there is a replay to go on with. */
  async function look(): Promise<boolean> {
    const nowMs = performance.now();
    if (nowMs >= lanesAtMs) {
      lanesAtMs = nowMs + LANES_MS;
      if (await database.inTime(wakeAllLanes(sql))) onDue();
    }
    if (nowMs >= pruneAtMs) {
      pruneAtMs = nowMs + pruneMs;
      await database.inTime(pruneSubjectGroups(sql));
      while (!isStopped && (await database.inTime(deletePendingOfNoEndpoint(sql))) > 0);
    }
    let isReplaying = false;
    while (!isStopped) {
      const step = await database.inTime(advanceReplay(sql, { pauseMs: REPLAY_PAUSE_MS }));
      if (step === 'none') break;
      isReplaying = true;
      if (step === 'queued') onDue();
    }
    return isReplaying;
  }

  wake();
  return {
    wake,
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await looking;
    },
  };
}
