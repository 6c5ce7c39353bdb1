/**
 * What may stand in no line. The checks quote servers, and a server may quote what it was sent.
 */
export type Secrets = {
  add(...secrets: (string | null | undefined)[]): void;
  hide(text: string): string;
};

/** What is shorter would take away letters of ordinary words, and is no secret worth the name. */
const SHORTEST = 4;

export function createSecrets(): Secrets {
  const known = new Set<string>();
  return {
    add(...secrets) {
      for (const secret of secrets) {
        if (!secret || secret.length < SHORTEST) continue;
        for (const form of [
          secret,
          encodeURIComponent(secret),
          Buffer.from(secret).toString('base64'),
          Buffer.from(secret).toString('base64url'),
        ]) {
          known.add(form);
        }
      }
    },
    // The longest first: one may hold another.
    hide: (text) =>
      [...known]
        .sort((a, b) => b.length - a.length)
        .reduce((shown, secret) => shown.replaceAll(secret, '***'), text),
  };
}
