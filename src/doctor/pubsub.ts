import type { DoctorContext, DoctorTools } from './context.ts';
import { type Finding, fail, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

const area = 'pubsub';
/** Where pushes come in, below the public URL. */
export const PUSH_PATH = '/v1/ingest/pubsub';
const GMAIL_PUBLISHER = 'gmail-api-push@system.gserviceaccount.com';

/** Whether Gmail's pushes can come to us at all, as far as the settings tell. Nothing to say where nobody uses Gmail. */
export function pubsubChecks({ settings }: DoctorTools, sources: DoctorContext['sources']): Check[] {
  const { pubsub, google } = settings;
  const hasGmail = sources.some(({ kind, isWanted }) => kind === 'gmail' && isWanted);
  if (pubsub === undefined && google.topic === undefined && !hasGmail) return [];
  const topic: Check = { id: 'pubsub.topic', area, subject: 'topic', look: () => judgeTopic(settings) };
  if (pubsub === undefined) return [topic];
  return [
    topic,
    { id: 'pubsub.identity', area, subject: 'identity of pushes', look: () => judgeIdentity(settings) },
    { id: 'pubsub.audience', area, subject: 'audience', look: () => judgeAudience(settings) },
  ];
}

function judgeTopic({ pubsub, google }: DoctorTools['settings']): Finding {
  const { topic, client, serviceAccount } = google;
  if (topic === undefined) {
    return warn(
      'none: Gmail is asked once a minute instead of telling us',
      'make a topic and set GMAIL_TOPIC, as the README describes',
    );
  }
  if (pubsub === undefined) {
    return fail(
      `Gmail tells ${topic}, and pushes from it are refused`,
      'set MAILGRESS_PUBSUB_AUDIENCE and MAILGRESS_PUBSUB_SERVICE_ACCOUNT to those of its subscription',
    );
  }
  const project = topic.split('/')[1] ?? '';
  // Of a client's id the number of its project is known, of a service account the name.
  const number = /^(\d+)-/.exec(client?.id ?? '')?.[1];
  const named = projectOf(serviceAccount?.email ?? '');
  const other = /^\d+$/.test(project) ? number : client === undefined ? named : undefined;
  if (other !== undefined && other !== project) {
    return fail(
      `${topic} is not in project ${other}, whose client asks for it`,
      'make the topic in the project of the OAuth client: Gmail tells no other',
    );
  }
  return ok(topic);
}

function judgeIdentity({ pubsub }: DoctorTools['settings']): Finding {
  const email = pubsub?.serviceAccount ?? '';
  const advice =
    'set MAILGRESS_PUBSUB_SERVICE_ACCOUNT to the --push-auth-service-account of the subscription';
  if (email === GMAIL_PUBLISHER) {
    return fail(`${email} is who writes to the topic, not who pushes to us`, advice);
  }
  if (!/@([a-z0-9.-]+\.)?gserviceaccount\.com$/i.test(email))
    return warn(`${email} is no service account of Google`, advice);
  return ok(email);
}

function judgeAudience({ pubsub, publicUrl }: DoctorTools['settings']): Finding {
  const audience = pubsub?.audience ?? '';
  const expected = `${publicUrl}${PUSH_PATH}`;
  const advice = `give both the subscription (--push-auth-token-audience) and MAILGRESS_PUBSUB_AUDIENCE the URL ${expected}`;
  if (audience === expected) return ok(audience);
  const url = URL.parse(audience);
  if (url === null) return ok(`${audience}; it has to be that of the subscription`);
  if (url.host !== new URL(publicUrl).host) {
    return warn(`${audience} is at another host than the public URL ${publicUrl}`, advice);
  }
  return ok(`${audience}; it has to be that of the subscription`);
}

/** `name@PROJECT.iam.gserviceaccount.com`. */
function projectOf(email: string): string | undefined {
  return /@([a-z0-9-]+)\.iam\.gserviceaccount\.com$/.exec(email)?.[1];
}
