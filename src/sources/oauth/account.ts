/** The two names of one domain, in which dots before the @ do not count. */
const GMAIL_DOMAINS = ['gmail.com', 'googlemail.com'];

/**
 * Whether the account's address is the mailbox's: without case, and for Gmail's own domains without dots.
 * Source: https://support.google.com/mail/answer/7436150
 */
export function isSameAccount(mailbox: string, account: string): boolean {
  return canonical(mailbox) === canonical(account);
}

function canonical(address: string): string {
  const lower = address.toLowerCase();
  const at = lower.lastIndexOf('@');
  const [local, domain] = [lower.slice(0, at), lower.slice(at + 1)];
  return GMAIL_DOMAINS.includes(domain) ? `${local.replaceAll('.', '')}@gmail.com` : lower;
}
