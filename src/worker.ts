import type { Id } from './core/ids.ts';
import { startImapWorker } from './imap/worker.ts';
import {
  type CoreOptions,
  createStops,
  imapOptions,
  notifyDispatcher,
  openBase,
  startCore,
} from './service-base.ts';
import { createFeedBell } from './store/feed-bell.ts';

export type WorkerOptions = CoreOptions & {
  /** IMAP sessions that this process holds at most. */
  capacity?: number | undefined;
  /** One source alone. */
  only?: Id<'src'> | undefined;
};

/** Holds IMAP sessions on a migrated database, and nothing else: webhooks are sent by a process that dispatches. */
export async function startWorker(options: WorkerOptions): Promise<{ stop(): Promise<void> }> {
  const stops = createStops();
  try {
    const base = await openBase(options, stops);
    const bell = createFeedBell(base.database);
    stops.add(async () => bell.stop());
    const notify = notifyDispatcher(base.database);
    const onEvent = () => {
      notify();
      bell.ring();
    };
    const core = startCore(options, base, stops, { onEvent, onStored: bell.ring, wakeDispatcher: undefined });
    const { capacity, only } = options;
    const worker = startImapWorker({ ...imapOptions(options, base), ...core, onEvent, capacity, only });
    stops.add(() => worker.stop());
    return { stop: () => stops.all() };
  } catch (error) {
    await stops.all();
    throw error;
  }
}
