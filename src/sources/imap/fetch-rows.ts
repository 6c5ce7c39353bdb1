import type { FetchMessageObject, FetchQueryObject } from 'imapflow';
import type { ImapConnection } from './connection.ts';
import { ImapError } from './imap-error.ts';
import { SHORT_ANSWER_BYTES } from './watch-answers.ts';

export type RowsWanted = {
  /** Rows of other mails are dropped as they come: a server may tell of any, with their bytes. */
  isWanted: (row: FetchMessageObject) => boolean;
  /** So much of an answer is what was asked for; more of it ends the connection. */
  mostBytes: number;
  deadlineMs?: number | undefined;
  leastBytesPerSecond?: number | undefined;
};

/** No listing has as many; each row takes some hundred bytes, however short its line is. */
const MOST_ROWS = 10_000;

/**
 * The rows that a FETCH of the selected folder answers, by UID.
 *
 * @throws ImapError, `protocol` for an answer beyond measure; one about some of the mails alone is as good as a refusal.
 */
export async function fetchRows(
  connection: ImapConnection,
  range: string,
  query: FetchQueryObject,
  { isWanted, mostBytes, deadlineMs, leastBytesPerSecond }: RowsWanted,
): Promise<FetchMessageObject[]> {
  return connection.run(
    async (client) => {
      const rows: FetchMessageObject[] = [];
      const before = client.stats().received;
      const partialBefore = connection.partialAnswers();
      for await (const row of client.fetch(range, query, { uid: true })) {
        if (isWanted(row)) rows.push(row);
        const bytes = client.stats().received - before;
        if (bytes <= mostBytes && rows.length <= MOST_ROWS) continue;
        connection.close();
        throw new ImapError(
          'protocol',
          `the server answers FETCH with more than was asked for (${bytes} bytes)`,
        );
      }
      if (connection.partialAnswers() > partialBefore) {
        const what = 'the server fetches some of the mails alone (MESSAGELIMIT)';
        throw new ImapError('protocol', what, { refused: 'FETCH' });
      }
      return rows;
    },
    // Rows are not all that can come.
    { deadlineMs, leastBytesPerSecond, mostBytes: mostBytes + SHORT_ANSWER_BYTES },
  );
}

/** FETCH was refused. It may be about one of the mails; a plea to ask less is about all of them. */
export function isRefusedFetch(error: unknown, connection: ImapConnection): boolean {
  return (
    error instanceof ImapError &&
    error.refused === 'FETCH' &&
    error.fault !== 'throttle' &&
    error.fault !== 'quota' &&
    connection.isOpen()
  );
}
