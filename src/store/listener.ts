import type { Sql } from 'postgres';

export type Listener = { end(options: { timeout: number }): Promise<void> };

const LONGEST_DELAY_MS = 2000;

/**
 * Calls `onNotify` for each NOTIFY on `channel`, and once after each (re)connection, when some may have been missed.
 *
 * @param connect as for `createPool`; a client whose connection ended is replaced, after a moment that grows.
 */
export function createListener(
  connect: (onOver: () => void) => Sql,
  channel: string,
  onNotify: () => void,
): Listener {
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let isEnded = false;
  let current = start();

  function start(): Sql {
    const sql = connect(() => {
      void sql.end({ timeout: 0 });
      if (isEnded) return;
      clearTimeout(timer);
      timer = setTimeout(
        () => {
          current = start();
        },
        Math.min(LONGEST_DELAY_MS, 50 * 2 ** failures++),
      );
    });
    const onListening = () => {
      failures = 0;
      onNotify();
    };
    // What it fails with ends the connection as well.
    sql.listen(channel, onNotify, onListening).catch(() => {});
    return sql;
  }

  return {
    async end(options) {
      isEnded = true;
      clearTimeout(timer);
      await current.end(options);
    },
  };
}
