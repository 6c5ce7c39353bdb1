import { setTimeout as wait } from 'node:timers/promises';
import { GmailError } from '../sources/gmail/gmail-error.ts';
import { readHintedAt } from '../store/hints.ts';
import { openCredentials } from '../store/secrets.ts';
import type { DoctorContext } from './context.ts';
import { adviceForWatch } from './gmail.ts';
import { PUSH_PATH } from './pubsub.ts';
import { type Finding, fail, ok } from './report.ts';
import type { Check } from './run-checks.ts';

/** A push takes a second or two. */
const PATIENCE_MS = 15_000;
const LOOK_MS = 200;
/** What asking Gmail for the watch may take beside. */
const ASKING_MS = 10_000;

type Facts = DoctorContext['sources'][number];

/**
 * For each Gmail source that is told of mail: its watch is renewed, which has Gmail send a push at once
 * (https://developers.google.com/workspace/gmail/api/guides/push), and the push is waited for. That is the whole way: topic,
 * rights, subscription, public URL, token, and a service that takes it.
 *
 * The watch only lives on for longer than is stored of it, so that it is renewed as before.
 */
export function pushRoundTripChecks(context: DoctorContext): Check[] {
  const { settings, pushPatienceMs = PATIENCE_MS } = context;
  const { topic } = settings.google;
  // Lines of their own say what is missing.
  if (topic === undefined || settings.pubsub === undefined) return [];
  const isTold = ({ kind, isWanted, state, credentials }: Facts) =>
    kind === 'gmail' && isWanted && state !== 'needs_reauth' && credentials !== null;
  return context.sources.filter(isTold).map((source) => ({
    id: `gmail.${source.id}.round-trip`,
    area: 'gmail',
    subject: `${source.address}, a push now`,
    needsMs: pushPatienceMs + ASKING_MS,
    look: (signal) => makeRoundTrip(source, topic, context, signal),
  }));
}

async function makeRoundTrip(
  { id, address, account, credentials }: Facts,
  topic: string,
  context: DoctorContext,
  signal: AbortSignal,
): Promise<Finding> {
  const { database, keyring, secrets, gmail, settings, pushPatienceMs = PATIENCE_MS } = context;
  if (credentials === null) return fail('has no credentials', 'see the line of its access');
  const opened = openCredentials(keyring, id, credentials);
  if (opened.type === 'oauth') secrets.add(opened.refreshToken);
  const before = await readHintedAt(database.sql, id);
  try {
    await gmail.open(account ?? address, opened).watch(topic, signal);
  } catch (error) {
    if (!(error instanceof GmailError)) throw error;
    return fail(`Gmail was not asked for a push: ${error.message}`, adviceForWatch(error.message, topic));
  }
  const askedMs = performance.now();
  while (performance.now() - askedMs < pushPatienceMs) {
    const now = await readHintedAt(database.sql, id);
    if (now !== null && now.getTime() !== before?.getTime()) {
      const tookMs = performance.now() - askedMs;
      return ok(`asked for one, and it came within ${Math.ceil(tookMs / 1000)} s`);
    }
    await wait(LOOK_MS, undefined, { signal });
  }
  return fail(
    `asked for one, and none came within ${Math.round(pushPatienceMs / 1000)} s`,
    `look whether the service runs, and says "push refused" in its log; and whether the subscription of ${topic} pushes to ${settings.publicUrl}${PUSH_PATH}, with the audience and service account that are set here`,
  );
}
