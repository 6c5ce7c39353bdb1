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
