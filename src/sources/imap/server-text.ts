/** Enough for a sentence or two, short enough for a list of sources. */
const MAX_LENGTH = 200;

/**
 * What a server says, to be shown and logged: visible ASCII, cut at 200 characters. It may echo what it was sent, so
 * secrets are replaced by `***`: as they are, as a quoted string of IMAP has them, and within base64, as AUTHENTICATE
 * sends them.
 */
export function cleanServerText(text: string, secrets: readonly string[]): string {
  const hidden = secrets
    .filter((secret) => secret !== '')
    .flatMap((secret) => [secret, secret.replaceAll(/["\\]/g, '\\$&')])
    // One may begin with another.
    .toSorted((a, b) => b.length - a.length);
  const withoutSecrets = (said: string) => hidden.reduce((rest, one) => rest.replaceAll(one, '***'), said);
  // Twice: a secret may hold what is taken out, and what is taken out may stand within a secret.
  const ascii = withoutSecrets(text).replaceAll(/[^\x20-\x7e]+/g, '');
  const decoded = ascii.replaceAll(/[A-Za-z0-9+/_-]{8,}={0,2}/g, (word) => {
    const plain = Buffer.from(word, 'base64').toString();
    return hidden.some((secret) => plain.includes(secret)) ? '***' : word;
  });
  return withoutSecrets(decoded).replaceAll(/ {2,}/g, ' ').trim().slice(0, MAX_LENGTH);
}
