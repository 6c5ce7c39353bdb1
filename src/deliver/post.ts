import type { Socket } from 'node:net';
import { MailgressError } from '../core/errors.ts';
import { Attempt, type AttemptResult } from './attempt.ts';
import { type AttemptError, classifyError } from './attempt-error.ts';
import { createConnector } from './connector.ts';
import type { Egress } from './egress.ts';
import { findBadHeader } from './headers.ts';
import { Agent } from './undici.ts';

/** Deliveries are small and answered quickly; more at once to one origin only queue at the consumer. */
const CONNECTIONS_PER_ORIGIN = 32;

/** Under the 5 s after which node's own servers, and many others, close an idle connection. */
const IDLE_MS = 4000;

/**
 * A busy connection would never see that its name moved to another address: after so many requests it is
 * renewed.
 */
const REQUESTS_PER_CONNECTION = 1000;

/** node's own limit. */
const MAX_HEADER_BYTES = 16 * 1024;

export type PostRequest = {
  url: string;
  /** Without those that `findBadHeader` names: they are ours. */
  headers: Readonly<Record<string, string>>;
  body: string | Buffer;
};

export type Poster = {
  /**
   * Makes one attempt. Never rejects for what a remote can do, and settles within the deadline whatever it
   * does: an error of its own (see `AttemptErrorCode`) where no status arrived. A redirect is an answer like
   * any other.
   *
   * When a kept connection turns out to have been closed by the peer, the request is sent once more on a fresh
   * one, within the same attempt and deadline: the peer's idle timeout is no failure of the consumer. It may
   * then have been received twice, which at-least-once permits; its `webhook-id` is the same.
   *
   * Throws `internal` after `close()`.
   */
  post(request: PostRequest): Promise<AttemptResult>;

  /**
   * Waits for the attempts under way (no longer than their deadline), then closes every connection. Repeatable.
   */
  close(): Promise<void>;
};

/**
 * Sends webhooks over HTTP/1.1, through the egress guard, on kept connections.
 *
 * `timeoutMs` is the one deadline of an attempt, over the wait for a free connection, DNS, TCP, TLS, headers
 * and body. At most `connectionsPerOrigin` requests run at once to one scheme, host and port; more wait, on
 * their own deadline, so let no more be in flight. `bodyMs` is what a body may take once the status is known.
 * `ca` replaces the trusted certificate authorities (PEM).
 */
export function createPoster(options: {
  egress: Egress;
  userAgent: string;
  timeoutMs?: number;
  bodyMs?: number;
  connectionsPerOrigin?: number;
  idleMs?: number;
  ca?: string;
}): Poster {
  const { egress, userAgent, timeoutMs = 15_000, bodyMs = 2000, idleMs = IDLE_MS } = options;
  const brokenAfterUse = new WeakSet<Error>();
  const underWay = new Set<Promise<AttemptResult>>();
  let isClosed = false;

  const connect = createConnector(egress, {
    timeoutMs,
    ca: options.ca,
    // undici does not tell whether a connection that broke had served before; the socket, asked at that moment,
    // does.
    onConnect: (socket: Socket) => {
      socket.on('error', (error) => {
        if (socket.bytesRead > 0) brokenAfterUse.add(error);
      });
    },
  });
  const shared = {
    connect,
    connections: options.connectionsPerOrigin ?? CONNECTIONS_PER_ORIGIN,
    maxHeaderSize: MAX_HEADER_BYTES,
    // The attempt has the one deadline.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
  const kept = new Agent({
    ...shared,
    keepAliveTimeout: idleMs,
    keepAliveMaxTimeout: idleMs,
    keepAliveTimeoutThreshold: 1000,
    maxRequestsPerClient: REQUESTS_PER_CONNECTION,
  });
  // Without pipelining undici closes a connection after each request, so each has a fresh one.
  const fresh = new Agent({ ...shared, pipelining: 0 });

  return {
    async post(request) {
      if (isClosed) throw new MailgressError('internal', 'the poster is closed');
      const checked = egress.checkUrl(request.url);
      if (!checked.ok) return unsent({ code: 'egress_blocked', message: checked.reason });
      // Looked at before undici does: it would count a request it refuses as under way for ever, and 32 of
      // these stop every other to that origin (Pool, 7.30).
      const badHeader = findBadHeader(request.headers);
      if (badHeader !== undefined) return unsent({ code: 'invalid_request', message: badHeader });

      const { url } = checked;
      const message = {
        origin: url.origin,
        path: url.pathname + url.search,
        method: 'POST',
        headers: { ...request.headers, 'user-agent': userAgent },
        body: request.body,
      } as const;

      const attempt: Attempt = new Attempt({
        timeoutMs,
        bodyMs,
        resend: (error) => {
          if (!brokenAfterUse.has(error) || classifyError(error).code !== 'connection') return false;
          fresh.dispatch(message, attempt);
          return true;
        },
      });
      underWay.add(attempt.result);
      kept.dispatch(message, attempt);
      try {
        return await attempt.result;
      } finally {
        underWay.delete(attempt.result);
      }
    },

    async close() {
      isClosed = true;
      await Promise.all(underWay);
      await Promise.all([kept.destroy(), fresh.destroy()]);
    },
  };
}

function unsent(error: AttemptError): AttemptResult {
  return { statusCode: null, error, durationMs: 0, responseExcerpt: null, retryAfter: undefined };
}
