import type { Email } from 'postal-mime';
import { isAutoReply } from './auto-reply.ts';
import { findBounce } from './bounce.ts';
import { findCalendarEvent } from './calendar.ts';
import { findComplaint } from './complaint.ts';
import { findMailingList } from './mailing-list.ts';
import type { Category } from './schema.ts';

/**
 * What kind of mail this is, by what it says of itself. Never throws for what a mail holds; of a mail of which only
 * the headers are here, what they tell. Strings are bounded in length, but may hold what cannot be stored.
 *
 * `autoReply` is false for a bounce and a complaint: these are answers of programs too, and have fields of their own.
 */
export async function categoryOf(email: Email): Promise<Category> {
  const complaint = findComplaint(email);
  const bounce = complaint === null ? findBounce(email) : null;
  return {
    bounce,
    complaint,
    autoReply: bounce === null && complaint === null && isAutoReply(email),
    list: findMailingList(email),
    calendar: await findCalendarEvent(email),
  };
}
