import { MailgressError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import type { Keyring } from '../core/sealed.ts';
import type { OAuthProvider } from '../sources/oauth/providers.ts';

/** A person may find the mail with the link after a week-end, and no later than that. */
export const LINK_LIFETIME_MS = 7 * 24 * 60 * 60 * 1000;

type Target = { keyring: Keyring; provider: OAuthProvider; mailboxId: Id<'mbx'> };

/**
 * A link by which a person connects this mailbox, without a key: it carries a sealed token that is good for this mailbox
 * and provider alone, for a week, as often as needed. All that it opens is the provider's own question to the owner of the
 * mailbox's account.
 *
 * @param publicUrl without a trailing slash.
 */
export function connectLink(
  { keyring, provider, mailboxId, publicUrl }: Target & { publicUrl: string },
  now: Date = new Date(),
): { url: string; expiresAt: Date } {
  const expiresAt = new Date(now.getTime() + LINK_LIFETIME_MS);
  const token = keyring.seal(String(expiresAt.getTime()), contextOf(provider, mailboxId));
  const query = new URLSearchParams({ mailbox: mailboxId, token: token.toString('base64url') });
  return { url: `${publicUrl}/connect/${provider}?${query}`, expiresAt };
}

/** Whether a token was made by `connectLink` for this very target, and has not expired. */
export function isLinkToken(
  { keyring, provider, mailboxId }: Target,
  token: string,
  now: Date = new Date(),
): boolean {
  const expiresAtMs = openText(keyring, token, contextOf(provider, mailboxId));
  return expiresAtMs !== undefined && now.getTime() < Number(expiresAtMs);
}

/** @returns undefined for what the keyring did not seal for this context. */
export function openText(keyring: Keyring, text: string, context: string): string | undefined {
  try {
    return keyring.open(Buffer.from(text, 'base64url'), context);
  } catch (error) {
    // Its fault for stored secrets; of what a browser brings it says that it is not ours.
    if (error instanceof MailgressError && error.code === 'configuration') return undefined;
    throw error;
  }
}

/** Bound to its target like a stored secret to its row. */
function contextOf(provider: OAuthProvider, mailboxId: Id<'mbx'>): string {
  return `connect-link/${provider}/${mailboxId}`;
}
