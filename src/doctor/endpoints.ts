import { setTimeout as wait } from 'node:timers/promises';
import { type AttemptErrorCode, classifyError } from '../deliver/attempt-error.ts';
import { connectTo } from '../deliver/connect-to.ts';
import { DELIVERIES_CHANNEL } from '../deliver/dispatcher.ts';
import { findDelivery } from '../store/deliveries.ts';
import { queueTestEvent } from '../store/endpoints.ts';
import type { EndpointFacts } from '../store/standing.ts';
import { ago } from './ago.ts';
import type { DoctorContext } from './context.ts';
import { type Finding, fail, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

/** Less than a check has, so that its own words are told. */
const CONNECT_TIMEOUT_MS = 8000;
const DELIVERY_LOOK_MS = 100;
const DELIVERY_PATIENCE_MS = 8500;

export function endpointChecks(context: DoctorContext, endpoints: readonly EndpointFacts[]): Check[] {
  return endpoints.map((endpoint) => ({
    id: `endpoints.${endpoint.id}`,
    area: 'endpoints',
    subject: shorten(endpoint.url),
    look: (signal) => lookAtEndpoint(endpoint, context, signal),
  }));
}

/** Its path and query may be what opens it: many services have no other key. */
function shorten(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return 'a URL that is none';
  const { origin, pathname, search } = parsed;
  return pathname === '/' && search === '' ? origin : `${origin}/...`;
}

async function lookAtEndpoint(
  endpoint: EndpointFacts,
  context: DoctorContext,
  signal: AbortSignal,
): Promise<Finding> {
  const { id, url, isEnabled, disabledReason } = endpoint;
  if (!isEnabled) {
    const byHand = disabledReason === 'disabled by request';
    if (byHand) return ok(disabledReason);
    return fail(`disabled: ${disabledReason}`, `mend it, and \`mailgress endpoint update ${id} --enable\``);
  }
  try {
    await connectTo(url, context.egress, { timeoutMs: CONNECT_TIMEOUT_MS, signal });
  } catch (error) {
    const { code, message } = classifyError(error);
    return fail(`${TITLES[code]}: ${message}`, ADVICE[code]);
  }
  if (context.sendTests) return sendTest(endpoint, context, signal);
  return judgeAttempts(endpoint);
}

const TITLES: Record<AttemptErrorCode, string> = {
  timeout: 'does not answer in time',
  dns: 'its name is not found',
  egress_blocked: 'may not be reached from here',
  connection: 'cannot be reached',
  tls: 'no secure connection',
  protocol: 'speaks no HTTP',
  invalid_request: 'cannot be sent to',
};

const ADVICE: Record<AttemptErrorCode, string> = {
  timeout: 'look whether it is up, and whether a firewall lets us through',
  dns: 'look whether the name in its URL is right, and still there',
  egress_blocked: 'name the host or its network in MAILGRESS_EGRESS_ALLOW, if it is yours',
  connection: 'look whether it runs, and whether the port in its URL is right',
  tls: 'let its certificate name the host of the URL, be valid, and come with those between it and its authority',
  protocol: 'look whether its URL leads to a web server',
  invalid_request: 'look at the headers that it was given',
};

/** One try that fails happens, and is made again; after these somebody should look. */
const FAILURES_UNTIL_FAIL = 3;

/** What became of the last webhooks. */
function judgeAttempts({ failures, failingSince, lastError, lastStatusCode }: EndpointFacts): Finding {
  if (failingSince === null) return ok('takes connections; no webhook fails');
  const last = lastStatusCode === null ? lastError : `it answered ${lastStatusCode}`;
  const why = last === null ? '' : `; the last time ${last}`;
  const level = failures < FAILURES_UNTIL_FAIL ? 'warn' : 'fail';
  return {
    level,
    message: `takes connections, and none of the webhooks since ${ago(failingSince, new Date())}${why}`,
    advice: 'look at its log: it has to answer 2xx within 15 s. After 5 days it is disabled',
  };
}

/** Queues a test event, as the API does, and looks what comes of its first try. */
async function sendTest(
  { id }: EndpointFacts,
  { database }: DoctorContext,
  signal: AbortSignal,
): Promise<Finding> {
  const queued = await queueTestEvent(database.sql, id);
  if (queued === undefined) return ok('was deleted a moment ago');
  void database.hot.notify(DELIVERIES_CHANNEL, '').catch(() => {});
  const endsMs = performance.now() + DELIVERY_PATIENCE_MS;
  let isUnderWay = false;
  while (performance.now() < endsMs && !signal.aborted) {
    const delivery = await findDelivery(database.sql, queued.deliveryId);
    const attempt = delivery?.attempts[0];
    if (attempt !== undefined) {
      // The delivery was read before its attempts, and may not say yet what became of it.
      const { statusCode } = attempt;
      const isTaken = statusCode !== null && statusCode >= 200 && statusCode < 300;
      if (isTaken) return ok(`took a test event in ${attempt.durationMs} ms`);
      const what = statusCode === null ? attempt.error : `answered ${statusCode}`;
      return fail(`did not take a test event: ${what}`, 'look at its log: it has to answer 2xx within 15 s');
    }
    isUnderWay = delivery?.nextAttemptAt === null;
    await wait(DELIVERY_LOOK_MS);
  }
  if (isUnderWay) {
    const seconds = Math.round(DELIVERY_PATIENCE_MS / 1000);
    return warn(
      `has not answered a test event for ${seconds} s`,
      'look at its log: after 15 s without an answer a webhook counts as failed',
    );
  }
  return warn(
    'the test event was not sent in time',
    'look whether `mailgress serve` runs, and whether the endpoint has much waiting',
  );
}
