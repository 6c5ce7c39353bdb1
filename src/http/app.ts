import { randomUUID } from 'node:crypto';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import type { Logger } from 'pino';
import { MailgressError } from '../core/errors.ts';
import { requireRole, tellAccess } from './access.ts';
import { answerInTime } from './answer-in-time.ts';
import { appsScriptRoutes } from './apps-script.ts';
import { requireKey } from './auth.ts';
import { limitBody } from './bodies.ts';
import { connectLinkRoutes, connectRoutes } from './connect.ts';
import { deliveryRoutes } from './deliveries.ts';
import { docsRoutes } from './docs.ts';
import { doctorRoutes } from './doctor.ts';
import { describeWebhooks, documentOf } from './document.ts';
import { endpointRoutes } from './endpoints.ts';
import { eventStreamRoutes } from './event-stream.ts';
import { eventRoutes } from './events.ts';
import { healthRoutes } from './health.ts';
import { ingestRoutes } from './ingest.ts';
import { keyRoutes } from './keys.ts';
import { mailboxRoutes } from './mailboxes.ts';
import { messageContentRoutes } from './message-content.ts';
import { messageRoutes } from './messages.ts';
import { metricsRoutes } from './metrics.ts';
import { createRouter } from './openapi.ts';
import { limitConcurrency } from './overloaded.ts';
import { principalOf } from './principal.ts';
import { logProblem, notFound, problemResponse, toMailgressError } from './problem.ts';
import { pubsubRoutes } from './pubsub.ts';
import { replayRoutes } from './replays.ts';
import type { Services } from './services.ts';
import { sourceSyncRoutes } from './source-sync.ts';
import { sourceRoutes } from './sources.ts';
import { stubRoutes } from './stubs.ts';
import { stayInTenant } from './tenant-guard.ts';

/** A request of the API is a few settings. Mail comes through the ingest routes, which have a limit of their own. */
const API_BODY_LIMIT_BYTES = 1024 * 1024;

/** The database serves six of them at a time; so many may wait for it. */
const API_REQUESTS = 256;

/** The whole HTTP side: `app.fetch` for a server, `app.request` for tests. */
export function createApp(services: Services): OpenAPIHono {
  const app = createRouter();

  app.use(logRequests(services.log));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        c.header('allow', methods.join(', '));
        const error = new MailgressError(
          'method_not_allowed',
          `${c.req.method} is not for this path; ${methods.join(', ')} is`,
        );
        return problemResponse(c, error);
      },
    }),
  );
  app.notFound((c) => problemResponse(c, notFound(`path ${c.req.path.slice(0, 200)}`)));
  app.onError((error, c) => {
    const known = toMailgressError(error);
    logProblem(known, services.log.child({ requestId: c.res.headers.get('x-request-id') }));
    return problemResponse(c, known);
  });

  // First and without a key: these are signed.
  app.route('/', ingestRoutes(services));
  app.route('/', pubsubRoutes(services));
  // A browser comes here, by a link that carries its own right.
  app.route('/', connectRoutes(services));
  app.route('/', healthRoutes(services));
  app.route('/', metricsRoutes(services));
  const document = documentOf(services.version);
  const describe = () => tellAccess(app.getOpenAPI31Document(document));
  // Made once: it takes some 50 ms, and anyone may ask.
  let text: string | undefined;
  app.get('/openapi.json', (c) => {
    text ??= JSON.stringify(describe());
    return c.body(text, 200, { 'content-type': 'application/json' });
  });
  app.route('/', docsRoutes(describe));
  describeWebhooks(app.openAPIRegistry);

  app.use('/v1/*', limitConcurrency(API_REQUESTS));
  app.use('/v1/*', requireKey(services.identify));
  // One tenant leaves room for the others, also while its requests wait for their turn.
  app.use(
    '/v1/*',
    limitConcurrency(API_REQUESTS / 2, (c) => principalOf(c).tenant ?? undefined),
  );
  app.use('/v1/*', requireRole());
  app.use('/v1/*', limitBody(services.bodies, API_BODY_LIMIT_BYTES));
  // It has limits of its own, and answers when the database does not.
  app.route('/', doctorRoutes(services));
  app.use('/v1/*', answerInTime(services.database));
  app.use('/v1/*', stayInTenant(services.database));
  for (const routes of [
    mailboxRoutes,
    sourceRoutes,
    sourceSyncRoutes,
    connectLinkRoutes,
    appsScriptRoutes,
    endpointRoutes,
    replayRoutes,
    messageRoutes,
    messageContentRoutes,
    deliveryRoutes,
    eventRoutes,
    eventStreamRoutes,
    stubRoutes,
    keyRoutes,
  ]) {
    app.route('/', routes(services));
  }
  return app;
}

/** A line for each request, with an id that the caller is told too. Paths hold ids only, and no query is logged. */
function logRequests(log: Logger): MiddlewareHandler {
  return async (c, next) => {
    const startedMs = performance.now();
    const requestId = randomUUID();
    c.header('x-request-id', requestId);
    await next();
    const durationMs = Math.round(performance.now() - startedMs);
    const { method, path } = c.req;
    log.info({ requestId, method, path: path.slice(0, 200), status: c.res.status, durationMs }, 'request');
  };
}
