import type { Email } from 'postal-mime';
import { readMessageIds } from '../message-ids.ts';
import { headerValue } from '../mime.ts';
import { MAX_RECIPIENTS, readDeliveryStatus } from './delivery-status.ts';
import { isFromMailSystem } from './mail-system.ts';
import { messageIdOfText, originalHeaders } from './original-message.ts';
import { LONGEST_REPORT, partsOfTypes, reportTypeOf, textOfPart } from './report-part.ts';
import type { Bounce, BounceRecipient } from './schema.ts';
import { findTextBounce } from './text-bounce.ts';

type Found = { recipients: BounceRecipient[]; originalMessageId: string | null };

/** RFC 3464, 2.1; RFC 6533, 4. */
const STATUS_TYPES = ['message/delivery-status', 'message/global-delivery-status'];

/** What else a report's status part has been labelled as. */
const MISLABELLED_TYPES = ['application/octet-stream', 'text/plain', 'text/delivery-status', ''];

/** Most parts looked at; a report has one (RFC 6522, 3). */
const MOST_PARTS = 5;

/** The worst first; what a recipient is told of whose action nobody told. */
const SEVERITY = ['failed', 'delayed', 'expanded', 'relayed', 'delivered'];

/**
 * What a delivery status notification says, null if the mail is none. All of them count, not only those of failure:
 * `action` tells them apart.
 *
 * - A multipart/report (RFC 3464, RFC 6533) with its status part, whatever the report is called. Where that part is
 *   labelled as something else (Exchange), or stands among the text, it is known by its fields.
 * - A mail server's mail with such a part, in a multipart of another kind.
 * - The forms before the RFC: see `findTextBounce`.
 * - A report that calls itself one, of which nothing can be read: `action` is null.
 *
 * A mail that only talks of bounces, or has one attached, is none.
 */
export function findBounce(email: Email): Bounce | null {
  const reportType = reportTypeOf(email);
  // A report of something else, such as disposition-notification: "your mail was read" (RFC 8098).
  if (reportType !== undefined && !['', 'delivery-status', 'global-delivery-status'].includes(reportType))
    return null;

  const found = findReport(email, reportType !== undefined) ?? findTextBounce(email);
  if (found !== null) return bounceOf(found, email);
  return reportType ? bounceOf({ recipients: [], originalMessageId: null }, email) : null;
}

function findReport(email: Email, isReport: boolean): Found | null {
  if (email.attachments.length === 0 && !isReport) return null;
  const parts = partsOfTypes(email, STATUS_TYPES);
  if (!isReport && (parts.length === 0 || !isFromMailSystem(email))) return null;

  const candidates = parts.length > 0 ? parts : partsOfTypes(email, MISLABELLED_TYPES);
  const texts = candidates.slice(0, MOST_PARTS).map(textOfPart);
  // Of a report without a type: that the mail was read (RFC 8098, 3.2.6) is no bounce.
  if (parts.length === 0 && texts.some((text) => /^Disposition ?:/im.test(text))) return null;
  if (parts.length === 0) texts.push(statusOfText(email));
  const recipients = texts.flatMap(readDeliveryStatus).slice(0, MAX_RECIPIENTS);
  return recipients.length === 0 ? null : { recipients, originalMessageId: null };
}

/** The status part as text/plain without a disposition: the parser then joins it to the text above it. */
function statusOfText({ text = '' }: Email): string {
  const start = text
    .slice(0, LONGEST_REPORT)
    .search(/^(?:Reporting-MTA|Original-Recipient|Final-Recipient) ?:/im);
  return start === -1 ? '' : text.slice(start, LONGEST_REPORT);
}

function bounceOf({ recipients, originalMessageId }: Found, email: Email): Bounce {
  const worst = SEVERITY.map((action) => recipients.find((one) => one.action === action));
  const first = worst.find((one) => one !== undefined) ?? recipients[0];
  return {
    status: first?.status ?? null,
    action: first?.action ?? null,
    recipient: first?.address ?? null,
    diagnostic: first?.diagnostic ?? null,
    originalMessageId:
      messageIdOfText(originalHeaders(email) ?? '') ??
      originalMessageId ??
      // Exchange and Gmail let a report answer the mail it is about, also where they do not return it.
      readMessageIds(headerValue(email, 'in-reply-to'))[0] ??
      null,
    recipients,
  };
}
