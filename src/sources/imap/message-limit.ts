import type { ImapFlow } from 'imapflow';

export type MessageLimit = {
  /** Infinity of a server that has not said any. */
  messageLimit(): number;
  /** Answers so far about some of the mails alone. */
  partialAnswers(): number;
};

/** What imapflow calls with the rest of a response code, tagged or not. */
type WithHandlers = { sectionHandlers: Record<string, (rest: ({ value?: unknown } | null)[]) => void> };

/**
 * How many mails one command looks at (MESSAGELIMIT, RFC 9738), as the server says at login, or with an answer. It begins with the
 * highest: what it answers must not be taken for the first of what there is.
 */
export function listenToMessageLimit(client: ImapFlow): MessageLimit {
  let told = Number.POSITIVE_INFINITY;
  let partialAnswers = 0;
  // The cast holds for the version that package.json pins, and the tests say so.
  const { sectionHandlers } = client as unknown as WithHandlers;
  sectionHandlers.MESSAGELIMIT = ([limit]) => {
    partialAnswers++;
    const count = Number(limit?.value);
    if (count >= 1) told = Math.min(told, count);
  };
  return {
    messageLimit() {
      for (const name of client.capabilities.keys()) {
        const limit = Number(/^MESSAGELIMIT=(\d+)$/.exec(name)?.[1] ?? 0);
        if (limit >= 1) return Math.min(limit, told);
      }
      return told;
    },
    partialAnswers: () => partialAnswers,
  };
}
