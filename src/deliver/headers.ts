import { validateHeaderName, validateHeaderValue } from 'node:http';

/** What belongs to the connection, to the framing of the message or to the URL, and not to a caller. */
const OURS = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
]);

/**
 * The first header that cannot be sent with a webhook, said so that it can be shown ("header \"host\" is set by
 * us"), or undefined: a name or value HTTP does not allow, or one of those that are ours to set. Values are not
 * repeated.
 */
export function findBadHeader(headers: Readonly<Record<string, string>>): string | undefined {
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name);
    } catch {
      return `header name ${JSON.stringify(name)} is not allowed in HTTP`;
    }
    if (OURS.has(name.toLowerCase())) return `header "${name}" is set by us`;
    try {
      validateHeaderValue(name, value);
    } catch {
      return `the value of header "${name}" is not allowed in HTTP`;
    }
  }
  return undefined;
}

/**
 * What describes a webhook and its signature; and what a proxy on the way, and not the consumer, would act on (RFC 9110,
 * 7.6.1 and 11.7).
 */
const OF_WEBHOOK = new Set([
  'content-encoding',
  'content-type',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'webhook-id',
  'webhook-signature',
  'webhook-timestamp',
]);

/** The first header that the owner of an endpoint may not add to its webhooks, said as `findBadHeader` does. */
export function findBadCustomHeader(headers: Readonly<Record<string, string>>): string | undefined {
  const seen = new Set<string>();
  for (const name of Object.keys(headers)) {
    const lower = name.toLowerCase();
    if (OF_WEBHOOK.has(lower)) return `header "${name}" is set by us`;
    if (seen.has(lower)) return `header "${name}" is given twice`;
    seen.add(lower);
  }
  return findBadHeader(headers);
}
