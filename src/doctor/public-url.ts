import { isLoopback, parseAddress } from '../deliver/address.ts';
import type { DoctorContext, DoctorTools } from './context.ts';
import { type Finding, fail, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

const area = 'public url';
const TIMEOUT_MS = 8000;
const MAX_ANSWER_BYTES = 1000;

/** Whether the service answers under the URL that others are told. */
export function publicUrlChecks({ settings }: DoctorTools, sources: DoctorContext['sources']): Check[] {
  const { publicUrl } = settings;
  return [
    {
      id: 'public-url.reach',
      area,
      subject: publicUrl,
      async look(signal) {
        const found = await askHealth(publicUrl, signal);
        if (found.level === 'fail') return found;
        const { hostname, protocol } = new URL(publicUrl);
        if (isThisMachine(hostname)) return judgeLoopback(found, settings, sources);
        if (protocol === 'http:') {
          return warn(
            `${found.message}, in clear text`,
            'give the service a certificate, or a proxy with one, and let MAILGRESS_PUBLIC_URL begin with https',
          );
        }
        return found;
      },
    },
  ];
}

async function askHealth(publicUrl: string, signal: AbortSignal): Promise<Finding> {
  const advice = 'start it (`mailgress serve`), or set MAILGRESS_PUBLIC_URL to where it is reached';
  try {
    const response = await fetch(`${publicUrl}/healthz`, {
      // A redirect from http to https is no answer of ours; pushes are not sent twice.
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    const text = await firstBytes(response);
    if (response.status === 200 && /^\{"status":"ok"\}/.test(text)) return ok('answers');
    if (response.status >= 300 && response.status < 400) {
      return fail(
        `answers ${response.status}, which leads elsewhere`,
        'set MAILGRESS_PUBLIC_URL to the URL that it leads to: pushes do not follow',
      );
    }
    return fail(`answers ${response.status}, and not as Mailgress does`, advice);
  } catch (error) {
    return fail(`does not answer (${reasonOf(error)})`, advice);
  }
}

/** Of a stranger's page no more than it takes to see that it is none of ours. */
async function firstBytes(response: Response): Promise<string> {
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString('latin1');
    if (text.length > MAX_ANSWER_BYTES) break;
  }
  return text;
}

/** What fetch throws has the reason as its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return 'not in time';
  const cause = error.cause instanceof Error ? error.cause : error;
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
}

function isThisMachine(hostname: string): boolean {
  const address = parseAddress(hostname.replace(/^\[|\]$/g, ''));
  return address === undefined ? /^(.+\.)?localhost$/.test(hostname) : isLoopback(address);
}

function judgeLoopback(
  found: Finding,
  { pubsub }: DoctorTools['settings'],
  sources: DoctorContext['sources'],
): Finding {
  const message = `${found.message}, from this machine alone`;
  const isNeeded =
    pubsub !== undefined || sources.some(({ kind, isWanted }) => kind === 'apps-script' && isWanted);
  if (!isNeeded) return ok(message);
  return warn(
    `${message}: neither Apps Script nor Gmail's pushes come through`,
    'set MAILGRESS_PUBLIC_URL to a URL that is reached from the internet',
  );
}
