import { MailgressError } from '../core/errors.ts';
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
/** Ids that nobody knows are looked for so many at a time. */
const MAX_STRANGERS = 256;

/** `isKnown`: it was there when last looked, which may be long ago. */
type Entry = { source: Promise<IngressSource | undefined>; readAtMs: number; isKnown: boolean };

/**
 * Remembers sources for a moment, so that a busy one costs one read a second and not one a mail. Reads of one
 * source that come together share one. A failed read is not remembered.
 *
 * Strangers with ids of their own invention are held to a few reads at a time, so that they do not fill the queue of the
 * database in front of sources that are known.
 *
 * @throws MailgressError `overloaded` of `find` and `refresh`.
 * @param nowMs a monotonic clock.
 */
export function rememberSources(
  read: (id: Id<'src'>) => Promise<IngressSource | undefined>,
  nowMs: () => number = () => performance.now(),
): IngressSources {
  const entries = new Map<Id<'src'>, Entry>();
  let strangers = 0;

  function readNow(id: Id<'src'>, isTrusted: boolean): Promise<IngressSource | undefined> {
    const isKnown = entries.get(id)?.isKnown ?? false;
    const isStranger = !(isKnown && isTrusted);
    if (isStranger && strangers >= MAX_STRANGERS) return Promise.reject(tooManyStrangers());
    if (isStranger) strangers++;
    const source = read(id);
    const entry = { source, readAtMs: nowMs(), isKnown };
    entries.delete(id);
    entries.set(id, entry);
    // Ids are anyone's to invent: the oldest make room.
    const [oldest] = entries.keys();
    if (entries.size > MAX_REMEMBERED && oldest !== undefined) entries.delete(oldest);
    source.then(
      (found) => {
        if (isStranger) strangers--;
        entry.isKnown = found !== undefined;
      },
      () => {
        if (isStranger) strangers--;
        // What was known stays so, to be read again at the next call.
        if (entries.get(id) !== entry) return;
        if (isKnown) entry.readAtMs = Number.NEGATIVE_INFINITY;
        else entries.delete(id);
      },
    );
    return source;
  }

  return {
    find(id) {
      const entry = entries.get(id);
      if (entry !== undefined && nowMs() - entry.readAtMs < TTL_MS) return entry.source;
      return readNow(id, true);
    },
    // Asked for by whoever signs wrong, too.
    refresh: (id) => readNow(id, false),
    forget: (id) => void entries.delete(id),
    forgetAll: () => entries.clear(),
  };
}

function tooManyStrangers(): MailgressError {
  return new MailgressError('overloaded', 'Too much comes at once; nothing was done, send it again shortly', {
    retryable: true,
  });
}
