import { MailgressError } from '../../core/errors.ts';
import { ImapError, toImapError } from './imap-error.ts';

/** Of a host with many, those tried in one attempt. */
const MAX_ADDRESSES = 3;

/**
 * The addresses to try for a host, in the resolver's order.
 *
 * @param resolve as `ConnectTools` has it.
 * @throws ImapError `network`; the reason of the signal.
 */
export async function resolveHost(
  host: string,
  resolve: (host: string) => Promise<{ address: string }[]>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string[]> {
  const late = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const aborted = new Promise<never>((_, reject) => {
    late.addEventListener('abort', () => reject(late.reason), { once: true });
  });
  try {
    const found = await Promise.race([resolve(host), aborted]);
    return found.slice(0, MAX_ADDRESSES).map(({ address }) => address);
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted)
      throw new ImapError('network', `the name ${host} could not be looked up in time`, { cause: error });
    // The guard's own sentence; whoever asked for the source is told its code as well.
    if (error instanceof MailgressError) throw new ImapError('network', error.message, { cause: error });
    throw toImapError(error, { host, phase: 'connect', isOauth: false });
  }
}
