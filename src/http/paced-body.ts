import type { ServerResponse } from 'node:http';
import type { Context } from 'hono';

/** A reader that takes none of the next bytes for so long is cut off. */
const PATIENCE_MS = 30_000;
/** And one that has not taken all in so long, however it goes on: 50 MB at 90 kB/s. What it holds others wait for. */
const LONGEST_MS = 600_000;

/**
 * The body of an answer, made at the pace of its reader: the next bytes are asked for when it has taken those before.
 *
 * @param onOver called once: it is read, its reader has left or was cut off, or it failed. A body that fails is cut off.
 * @param onError what it failed with.
 */
export function pacedBody(
  c: Context,
  bytes: AsyncIterable<Uint8Array>,
  { onOver, onError, patienceMs = PATIENCE_MS, longestMs = LONGEST_MS }: PacedOptions,
): ReadableStream<Uint8Array> {
  const { outgoing }: { outgoing?: ServerResponse } = c.env ?? {};
  const iterator = bytes[Symbol.asyncIterator]();
  const longest = setTimeout(cut, longestMs).unref();
  let timer = setTimeout(cut, patienceMs);
  let isOver = false;

  function over(): void {
    clearTimeout(timer);
    if (isOver) return;
    clearTimeout(longest);
    isOver = true;
    iterator.return?.()?.catch(() => {});
    onOver();
  }

  function cut(): void {
    over();
    // What says at once that the rest does not come; an end in order would say that this is all.
    outgoing?.destroy();
  }

  c.req.raw.signal.addEventListener('abort', over, { once: true });
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(timer);
        try {
          const { done, value } = await iterator.next();
          if (isOver) return;
          if (done) {
            over();
            controller.close();
          } else {
            controller.enqueue(value);
            timer = setTimeout(cut, patienceMs);
          }
        } catch (error) {
          if (isOver) return;
          onError(error);
          cut();
          if (outgoing === undefined) controller.error(error);
        }
      },
      cancel: over,
    },
    { highWaterMark: 0 },
  );
}

type PacedOptions = {
  onOver: () => void;
  onError: (error: unknown) => void;
  patienceMs?: number | undefined;
  longestMs?: number | undefined;
};

/** Whether nobody will read a body: of HEAD, and when the caller has left, or has been told that this took too long. */
export function isUnread(c: Context): boolean {
  const { outgoing }: { outgoing?: ServerResponse } = c.env ?? {};
  return c.req.method === 'HEAD' || (outgoing !== undefined && (outgoing.headersSent || outgoing.destroyed));
}
