import { MailgressError } from '../core/errors.ts';
import { GmailError } from '../sources/gmail/gmail-error.ts';
import { isSameAccount } from '../sources/oauth/account.ts';
import { openCredentials } from '../store/secrets.ts';
import { ago, span } from './ago.ts';
import type { DoctorContext } from './context.ts';
import { type Finding, fail, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

/** A watch lives for 7 days and is renewed each day: with less left, two renewals have failed at least. */
const WATCH_DAYS = 7;
const DAY_MS = 86_400_000;
const WATCH_WARN_MS = 5 * DAY_MS;
/** A mail that is found this long after the last push was not told of by one. */
const UNTOLD_MS = 15 * 60_000;

type Facts = DoctorContext['sources'][number];

/** Two lines for each source: whether Gmail lets us read, and whether it tells us of mail. */
export function gmailChecks(context: DoctorContext): Check[] {
  return context.sources
    .filter(({ kind }) => kind === 'gmail')
    .flatMap((source): Check[] => [
      {
        id: `gmail.${source.id}.access`,
        area: 'gmail',
        subject: source.address,
        look: (signal) => lookAtAccess(source, context, signal),
      },
      {
        id: `gmail.${source.id}.push`,
        area: 'gmail',
        subject: `${source.address}, pushes`,
        look: () => judgePushes(source, context),
      },
    ]);
}

/** Asks what costs least and needs the token, and what needs the scope. */
async function lookAtAccess(source: Facts, context: DoctorContext, signal: AbortSignal): Promise<Finding> {
  const { id, address, account, credentials, isWanted, state, reason, failures } = source;
  if (!isWanted) return ok('stopped');
  const again = `let its owner consent again: \`mailgress source add --kind gmail --mailbox ${address}\``;
  if (credentials === null) return fail('has no credentials', again);
  if (state === 'needs_reauth') return fail(`needs a new consent: ${withoutLink(reason)}`, again);
  const opened = openCredentials(context.keyring, id, credentials);
  if (opened.type === 'oauth') context.secrets.add(opened.refreshToken);
  try {
    const gmail = context.gmail.open(account ?? address, opened);
    const profile = await gmail.profile(signal);
    if (!isSameAccount(address, profile.address)) {
      return fail(`the consent is of ${profile.address}`, again);
    }
    // Profiles are shown to a consent that may see headers alone; a search is not.
    await gmail.list({ since: new Date(), until: null, pageToken: undefined }, signal);
    // Without failures an error is one of the watch, of which the other line tells.
    if (failures === 0) return ok('may be read');
    return warn(
      `may be read, but the last look failed: ${withoutLink(reason)}`,
      'look again in a few minutes',
    );
  } catch (error) {
    return findingOf(error, again);
  }
}

function findingOf(error: unknown, again: string): Finding {
  if (error instanceof MailgressError && error.code === 'oauth_not_configured') {
    return fail(error.message, 'set them to those that the consent was given to');
  }
  if (!(error instanceof GmailError)) throw error;
  // What is behind the semicolon says what to do, where Gmail's answer tells that.
  const at = error.message.lastIndexOf('; ');
  const [said, hint] =
    at < 0 ? [error.message, ''] : [error.message.slice(0, at), error.message.slice(at + 2)];
  if (error.fault === 'needs_reauth') return fail(said, again);
  if (error.fault === 'slow_down') return warn(said, 'wait: it is asked again by itself');
  if (error.fault === 'unavailable')
    return fail(said, 'look whether Google is reached from here, and look again');
  return fail(said, hint === '' ? again : hint);
}

/** As far as it can be seen without a topic of our own to listen to: the watch, its last error, and what pushes came. */
function judgePushes(source: Facts, { settings }: DoctorContext): Finding {
  const { isWanted, state, watchExpiresAt, watchError, hintedAt, lastMessageAt, now } = source;
  const { topic } = settings.google;
  if (!isWanted) return ok('stopped');
  if (topic === undefined) return ok('none: it is asked once a minute');
  if (state === 'needs_reauth') return ok('none until it may be read again');
  const leftMs = watchExpiresAt === null ? 0 : watchExpiresAt.getTime() - now.getTime();
  if (watchExpiresAt === null || leftMs <= 0) {
    const since = watchExpiresAt === null ? 'no watch' : `its watch ended ${ago(watchExpiresAt, now)}`;
    return watchError === null
      ? fail(since, 'start `mailgress serve`, which makes one; it renews each day')
      : fail(`${since}: ${watchError}`, adviceForWatch(watchError, topic));
  }
  const left = `its watch ends in ${span(leftMs)}`;
  if (watchError !== null)
    return warn(`${left}, and is not renewed: ${watchError}`, adviceForWatch(watchError, topic));
  if (leftMs < WATCH_WARN_MS) {
    return warn(`${left}, and should have been renewed`, 'look whether `mailgress serve` runs');
  }
  const madeMs = watchExpiresAt.getTime() - WATCH_DAYS * DAY_MS;
  if (hintedAt !== null && hintedAt.getTime() > madeMs) return ok(`last one ${ago(hintedAt, now)}; ${left}`);
  // Mail came, and none of it was told of.
  if (
    lastMessageAt !== null &&
    lastMessageAt.getTime() - Math.max(madeMs, hintedAt?.getTime() ?? 0) > UNTOLD_MS
  ) {
    const last = hintedAt === null ? 'none ever' : `the last one ${ago(hintedAt, now)}`;
    return fail(
      `mail came ${ago(lastMessageAt, now)} and no push told of it (${last})`,
      'look whether the subscription pushes to the public URL, with the audience and service account that are set here',
    );
  }
  return ok(`none yet, and no mail either; ${left}`);
}

/** What to do about a watch that Gmail does not give. */
export function adviceForWatch(error: string, topic: string): string {
  if (/does not match projects|Invalid topicName/i.test(error)) {
    return `${topic} has to be in the project of the OAuth client: set GMAIL_TOPIC to one that is`;
  }
  if (/Publisher|not authorized|permission/i.test(error)) {
    return `give gmail-api-push@system.gserviceaccount.com the role Pub/Sub Publisher on ${topic}`;
  }
  return 'it is tried again each hour; if it stays, look at GMAIL_TOPIC and at the project of the OAuth client';
}

/** The link of a source's reason lets a person consent; it is told where that is asked for. */
function withoutLink(reason: string | null): string {
  return (reason ?? 'no reason is known').replace(/; give consent again at .*$/s, '');
}
