import { isIP } from 'node:net';
import type { ImapFlow, Logger } from 'imapflow';

export type ClientOptions = {
  /** Of the host, as it was judged: the name would be looked up again. */
  address: string;
  host: string;
  port: number;
  security: 'tls' | 'starttls' | 'none';
  auth: { user: string; pass: string } | { user: string; accessToken: string };
  ca?: string | undefined;
  version: string;
  maxMailBytes: number;
  connectMs: number;
  logger: Logger;
};

/** A hostile server's line; SEARCH over a million mails answers with 8 MB of numbers. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
/** Around a literal. */
const RESPONSE_SPARE_BYTES = 1024 * 1024;
const MAX_TOKENS = 200_000;
/**
 * imapflow ends a connection that was quiet for so long. Commands have deadlines of their own and idling is watched by probes,
 * so this is for neither; a session without IDLE is quiet for as long as its owner chose to let it.
 */
const SOCKET_TIMEOUT_MS = 30 * 60_000;

/**
 * A client that is not connected yet. imapflow, which is a quarter of all that a process loads, is loaded here, where a mailbox is
 * read alone.
 */
export async function createClient(options: ClientOptions): Promise<ImapFlow> {
  const { address, host, port, security, auth, ca, maxMailBytes, connectMs } = options;
  const imapflow = await import('imapflow');
  return new imapflow.ImapFlow({
    host: address,
    port,
    ...(isIP(host) === 0 && { servername: host }),
    secure: security === 'tls',
    doSTARTTLS: security === 'starttls',
    auth,
    tls: { minVersion: 'TLSv1.2', ...(ca !== undefined && { ca }) },
    logger: options.logger,
    disableAutoIdle: true,
    // zlib's windows would take more memory than all the rest of an idle connection.
    disableCompression: true,
    clientInfo: { name: 'Mailgress', version: options.version },
    connectionTimeout: connectMs,
    greetingTimeout: connectMs,
    socketTimeout: SOCKET_TIMEOUT_MS,
    maxLineLength: MAX_LINE_BYTES,
    maxLiteralSize: maxMailBytes,
    maxResponseSize: maxMailBytes + RESPONSE_SPARE_BYTES,
    maxResponseTokens: MAX_TOKENS,
  });
}
