import { MailgressError } from '../core/errors.ts';
import { createConnector } from './connector.ts';
import type { Egress } from './egress.ts';

/**
 * Connects as a webhook to this URL would, through the egress guard and with TLS for https, and hangs up without a request.
 *
 * Throws as `createConnector` fails, `egress_blocked` also for what the URL itself says; `classifyError` reads it.
 */
export async function connectTo(
  text: string,
  egress: Egress,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<void> {
  const checked = egress.checkUrl(text);
  if (!checked.ok) throw new MailgressError('egress_blocked', checked.reason);
  const { hostname, protocol, port, host } = checked.url;
  const connect = createConnector(egress, { timeoutMs });
  await new Promise<void>((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    // As undici's pool calls it: an IPv6 address without its brackets.
    const bare = hostname.replace(/^\[|\]$/g, '');
    connect({ host, hostname: bare, protocol, port }, (error, socket) => {
      signal.removeEventListener('abort', onAbort);
      socket?.destroy();
      if (error) reject(error);
      else resolve();
    });
  });
}
