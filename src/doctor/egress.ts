import { MailgressError } from '../core/errors.ts';
import { IMAP_PRESETS } from '../core/imap-providers.ts';
import { imapSettingsSchema } from '../core/imap-settings.ts';
import type { EndpointFacts } from '../store/standing.ts';
import type { DoctorContext } from './context.ts';
import { type Finding, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

const area = 'egress';
const MAX_SHOWN = 5;
/** Each is a lookup, of which node has two under way. */
const MAX_HOSTS = 200;

/** What may be reached that is not on the public internet, and which of the targets there are would be refused. */
export function egressChecks(context: DoctorContext, endpoints: readonly EndpointFacts[]): Check[] {
  return [
    { id: 'egress.rules', area, subject: 'private networks', look: () => judgeRules(context) },
    { id: 'egress.targets', area, subject: 'targets', look: () => findRefused(context, endpoints) },
  ];
}

function judgeRules({ settings: { egressAllow, isEmbedded } }: DoctorContext): Finding {
  const everything = egressAllow.filter((entry) => /\/0+$/.test(entry));
  if (everything.length > 0) {
    return warn(
      `all are reached (${everything.join(', ')}): whoever may make an endpoint can reach what is inside your network`,
      'name in MAILGRESS_EGRESS_ALLOW only what has to be reached',
    );
  }
  const allowed = [...(isEmbedded ? ['this machine'] : []), ...egressAllow];
  return ok(allowed.length === 0 ? 'none is reached' : `reached: ${allowed.join(', ')}; no other`);
}

/** Their own lines say so too; here it is seen which rule would let all of them through. */
async function findRefused(
  { egress, sources }: DoctorContext,
  endpoints: readonly EndpointFacts[],
): Promise<Finding> {
  const ofEndpoints = endpoints
    .filter(({ isEnabled }) => isEnabled)
    .map(({ url }) => new URL(url).hostname.replace(/^\[|\]$/g, ''));
  const ofSources = sources
    .filter(({ kind, isWanted }) => kind === 'imap' && isWanted)
    .map(({ settings }) => {
      const { host, provider } = imapSettingsSchema.parse(settings);
      return host ?? IMAP_PRESETS[provider].host;
    });
  const hosts = [...new Set([...ofEndpoints, ...ofSources])].filter((host) => host !== undefined);
  const looked = hosts.slice(0, MAX_HOSTS);
  const judged = await Promise.all(
    looked.map(async (host) => {
      const error = await egress.resolveAllowed(host).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      // Of a name that is not found its own line tells.
      return error instanceof MailgressError && error.code === 'egress_blocked' ? [host] : [];
    }),
  );
  const refused = judged.flat().sort();
  if (refused.length > 0) {
    const more = refused.length > MAX_SHOWN ? ` and ${refused.length - MAX_SHOWN} more` : '';
    return warn(
      `refused: ${refused.slice(0, MAX_SHOWN).join(', ')}${more}`,
      'name those that are yours in MAILGRESS_EGRESS_ALLOW, by host or network',
    );
  }
  const rest = hosts.length > looked.length ? `; ${hosts.length - looked.length} were not looked at` : '';
  const what = looked.length === 1 ? 'the one host' : `${looked.length} hosts`;
  return ok(looked.length === 0 ? 'none yet' : `${what} of endpoints and sources, none refused${rest}`);
}
