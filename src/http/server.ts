import { once } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { describeError, MailgressError } from '../core/errors.ts';

export type HttpServer = {
  /** `http://host:port`, as one on this machine calls it. */
  address: string;
  /** Takes no new connection, and resolves when the requests under way have ended; see `DRAIN_MS`. */
  drain(): Promise<void>;
};

/** Requests under way at a stop have so long to end; with the deliveries that follow, Render's 30 s are kept. */
const DRAIN_MS = 10_000;

/**
 * Listens, on any free port if `port` is 0.
 *
 * @throws MailgressError `address_taken` for a port that is taken or a host that is not ours.
 */
export async function startHttpServer(
  fetch: Parameters<typeof createAdaptorServer>[0]['fetch'],
  { host, port }: { host: string; port: number },
): Promise<HttpServer> {
  // Without `createServer` among its options it is node's HTTP/1.1 server.
  const server = createAdaptorServer({ fetch }) as Server;
  const underWay = new Set<ServerResponse>();
  let isDraining = false;
  // Ahead of the app, which may answer at once.
  server.prependListener('request', (_request, response: ServerResponse) => {
    underWay.add(response);
    response.once('close', () => underWay.delete(response));
    if (isDraining) endConnectionAfter(response);
  });

  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const hint =
      code === 'EADDRINUSE' ? 'something else listens there: stop it, or set PORT' : describeError(error);
    throw new MailgressError('address_taken', `Cannot listen on ${host}:${port}: ${hint}`, { cause: error });
  }
  const bound = server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  // 0.0.0.0 and :: are where we listen, not where anyone calls.
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : isIP(host) === 6 ? `[${host}]` : host;

  return {
    address: `http://${name}:${boundPort}`,
    async drain() {
      isDraining = true;
      for (const response of underWay) endConnectionAfter(response);
      // Closes what idles, and waits for the rest.
      const closed = new Promise((resolve) => server.close(resolve));
      const force = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
      await closed;
      clearTimeout(force);
    },
  };
}

/** A kept connection would go on to idle, or bring the next request, and the stop would wait for it. */
function endConnectionAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
}
