import type { Email } from 'postal-mime';
import { headerValue } from '../mime.ts';

/** Names under which mail servers write. */
const SYSTEM_NAMES: ReadonlySet<string> = new Set(
  'mailer-daemon mailerdaemon mail-daemon maildaemon postmaster mail-delivery postoffice'.split(' '),
);

/**
 * Whether a mail server wrote this mail, as far as that shows: by its name, or because it has no sender to return
 * it to (RFC 5321, 4.5.5). Both can be forged; it only keeps mail apart that talks about bounces.
 */
export function isFromMailSystem(email: Email): boolean {
  return isNamedAsMailSystem(email) || headerValue(email, 'return-path') === '<>';
}

/** By its name alone: programs of all kinds, shops too, write mail that need not be returned. */
export function isNamedAsMailSystem(email: Email): boolean {
  const address = email.from?.address ?? '';
  const name = address.slice(0, address.includes('@') ? address.lastIndexOf('@') : undefined);
  return SYSTEM_NAMES.has(name.toLowerCase());
}
