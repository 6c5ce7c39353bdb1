/**
 * Whether two addresses are one Google account: letters in any case, and at gmail.com dots count for nothing
 * (https://support.google.com/mail/answer/7436150).
 */
export function isSameAccount(a: string, b: string): boolean {
  return canonicalOf(a) === canonicalOf(b);
}

function canonicalOf(address: string): string {
  const at = address.lastIndexOf('@');
  const local = address.slice(0, at).toLowerCase();
  const domain = address.slice(at + 1).toLowerCase();
  const isGmail = domain === 'gmail.com' || domain === 'googlemail.com';
  return isGmail ? `${local.replaceAll('.', '')}@gmail.com` : `${local}@${domain}`;
}
