import { storeUnavailable } from './unavailable.ts';

/**
 * Waits for an answer of the store, for so long. The work itself goes on: whether it is done then nobody knows, so it
 * must be safe to repeat.
 *
 * @throws MailgressError `store_unavailable` after `deadlineMs`, else what the work throws.
 */
export async function withDeadline<T>(
  work: Promise<T>,
  deadlineMs: number,
  onLate: () => void = () => {},
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(storeUnavailable(new Error(`no answer in ${deadlineMs} ms`)));
      onLate();
    }, deadlineMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
