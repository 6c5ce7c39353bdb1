import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { describeError, MailgressError } from '../core/errors.ts';

export type HttpServer = {
  /** `http://host:port`, as one on this machine calls it. */
  address: string;
  /** Takes no new connection, and resolves when the requests under way have ended; see `DRAIN_MS`. */
  drain(): Promise<void>;
};

export type HttpLimits = {
  /** A head that takes longer is answered 408 and its connection closed; so is one that never begins. */
  headersMs: number;
  /** The whole request, with a body of 50 MB over a slow line. What trickles is ended before that: see `createBodies`. */
  requestMs: number;
  /** How late either may be noticed. */
  checkMs: number;
  /** Longer than balancers keep a connection that idles (most 60 s): else one sends a request into our close, and it is lost. */
  keepAliveMs: number;
  /** A connection on which nothing moves meanwhile, such as of a client that reads no answer. The stream has a beat of 15 s. */
  silenceMs: number;
  /** An idle connection takes some 10 kB, a following client of the stream 30 kB. What is beyond is closed at once. */
  connections: number;
};

export const HTTP_LIMITS: HttpLimits = {
  headersMs: 15_000,
  requestMs: 300_000,
  checkMs: 5000,
  keepAliveMs: 65_000,
  silenceMs: 120_000,
  connections: 5000,
};

/** Of all headers of a request together; 431 beyond. As node has it, and as servers of mail providers keep to. */
const MAX_HEAD_BYTES = 16 * 1024;
/** Those behind it are dropped. A request through several proxies has thirty. */
const MAX_HEADERS = 200;

/** Requests under way at a stop have so long to end; with the deliveries that follow, Render's 30 s are kept. */
const DRAIN_MS = 10_000;

/**
 * Listens, on any free port if `port` is 0.
 *
 * @throws MailgressError `address_taken` for a port that is taken or a host that is not ours.
 */
export async function startHttpServer(
  fetch: Parameters<typeof createAdaptorServer>[0]['fetch'],
  {
    host,
    port,
    httpLimits,
    onDropped = () => {},
  }: {
    host: string;
    port: number;
    httpLimits?: Partial<HttpLimits> | undefined;
    /** A connection was closed at once: there are too many. */
    onDropped?: () => void;
  },
): Promise<HttpServer> {
  const limits = { ...HTTP_LIMITS, ...httpLimits };
  const serverOptions = {
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: limits.checkMs,
    keepAliveTimeout: limits.keepAliveMs,
    maxHeaderSize: MAX_HEAD_BYTES,
  };
  // Without `createServer` among its options it is node's HTTP/1.1 server.
  const server = createAdaptorServer({ fetch, serverOptions }) as Server;
  server.maxHeadersCount = MAX_HEADERS;
  server.timeout = limits.silenceMs;
  limitConnections(server, limits.connections);
  server.on('drop', onDropped);
  continueWhenRead(server);
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

/** So many connections at most. When they run out, those that idle make room: they can be made again, and lose nothing. */
function limitConnections(server: Server, limit: number): void {
  server.maxConnections = limit;
  let open = 0;
  server.on('connection', (socket) => {
    open++;
    socket.once('close', () => open--);
    if (open > limit * 0.9) server.closeIdleConnections();
  });
}

/** A client that asks before it sends its body is told to go on when somebody reads it, and not when it is refused. */
function continueWhenRead(server: Server): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    const read = request._read;
    request._read = (size) => {
      request._read = read;
      if (!response.headersSent) response.writeContinue();
      read.call(request, size);
    };
    server.emit('request', request, response);
  });
}

/** A kept connection would go on to idle, or bring the next request, and the stop would wait for it. */
function endConnectionAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
}
