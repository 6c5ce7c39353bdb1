import type { Id } from '../core/ids.ts';
import type { IngressSource } from './sources.ts';

export type IngressSources = {
  /** The source, at most a second old; undefined if there is none. */
  find(id: Id<'src'>): Promise<IngressSource | undefined>;
  /** The source as it is now: for a signature that the remembered secret does not verify. */
  refresh(id: Id<'src'>): Promise<IngressSource | undefined>;
  forget(id: Id<'src'>): void;
  /** For a change that may be of many sources, such as the end of a mailbox. */
  forgetAll(): void;
};

/** A stop or a new secret is followed by every process within this. */
const TTL_MS = 1000;
const MAX_REMEMBERED = 10_000;

type Entry = { source: Promise<IngressSource | undefined>; readAtMs: number };

/**
 * Remembers sources for a moment, so that a busy one costs one read a second and not one a mail. Reads of one
 * source that come together share one. A failed read is not remembered.
 *
 * @param nowMs a monotonic clock.
 */
export function rememberSources(
  read: (id: Id<'src'>) => Promise<IngressSource | undefined>,
  nowMs: () => number = () => performance.now(),
): IngressSources {
  const entries = new Map<Id<'src'>, Entry>();

  function readNow(id: Id<'src'>): Promise<IngressSource | undefined> {
    const source = read(id);
    const entry = { source, readAtMs: nowMs() };
    entries.delete(id);
    entries.set(id, entry);
    // Ids are anyone's to invent: the oldest make room.
    const [oldest] = entries.keys();
    if (entries.size > MAX_REMEMBERED && oldest !== undefined) entries.delete(oldest);
    source.catch(() => {
      if (entries.get(id) === entry) entries.delete(id);
    });
    return source;
  }

  return {
    find(id) {
      const entry = entries.get(id);
      if (entry !== undefined && nowMs() - entry.readAtMs < TTL_MS) return entry.source;
      return readNow(id);
    },
    refresh: readNow,
    forget: (id) => void entries.delete(id),
    forgetAll: () => entries.clear(),
  };
}
