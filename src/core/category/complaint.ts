import type { Email } from 'postal-mime';
import { readMailDate } from '../mail-date.ts';
import { cutToLength } from '../text.ts';
import { MAX_RECIPIENTS } from './delivery-status.ts';
import { headerOfText, messageIdOfText, originalHeaders } from './original-message.ts';
import { fieldValue, type ReportField, readReportFields } from './report-fields.ts';
import { partsOfTypes, reportTypeOf, textOfPart } from './report-part.ts';
import type { Complaint } from './schema.ts';

/** In UTF-16 units; for a value of which only the start matters if it is longer. */
const LONGEST_VALUE = 1_000;

/**
 * The abuse report that a mail is, null if it is none: a multipart/report with a message/feedback-report (RFC 5965,
 * 2), or a report of Microsoft's Junk Mail Reporting Program, which has a form of its own.
 *
 * Not every report is a complaint: `feedbackType` may be `not-spam`, or `auth-failure` (RFC 6591). A report without
 * the type it must have is `other`.
 */
export function findComplaint(email: Email): Complaint | null {
  if (email.attachments.length === 0) return null;
  const [part] = partsOfTypes(email, ['message/feedback-report']);
  if (part === undefined) return findJunkReport(email);
  if (reportTypeOf(email) === undefined) return null;
  const fields = readReportFields(textOfPart(part));
  return {
    feedbackType: short(fieldValue(fields, 'feedback-type').toLowerCase()) ?? 'other',
    userAgent: short(fieldValue(fields, 'user-agent')),
    sourceIp: readIp(fieldValue(fields, 'source-ip')),
    originalMailFrom: readPath(fieldValue(fields, 'original-mail-from')),
    recipients: recipientsOf(fields),
    // Received-Date is what Arrival-Date was called in drafts; feedback loops of their time still send it.
    arrivalDate: readMailDate(fieldValue(fields, 'arrival-date') || fieldValue(fields, 'received-date')),
    originalMessageId: messageIdOfText(originalHeaders(email) ?? ''),
  };
}

/** The reported mail is attached as a whole, and whom it was for stands in a header put on top of it. */
function findJunkReport(email: Email): Complaint | null {
  if (email.from?.address?.toLowerCase() !== 'staff@hotmail.com') return null;
  const headers = originalHeaders(email) ?? '';
  const recipient = readPath(headerOfText(headers, 'x-hmxmroriginalrecipient'));
  if (recipient === null) return null;
  return {
    feedbackType: 'abuse',
    userAgent: null,
    sourceIp: readIp(/complaint about message from (\S{1,45})/i.exec(email.subject ?? '')?.[1] ?? ''),
    originalMailFrom: null,
    recipients: [recipient],
    arrivalDate: null,
    originalMessageId: messageIdOfText(headers),
  };
}

function recipientsOf(fields: readonly ReportField[]): string[] {
  const values = fields.filter(({ name }) => name === 'original-rcpt-to').map(({ value }) => readPath(value));
  return values.filter((path) => path !== null).slice(0, MAX_RECIPIENTS);
}

/** A path of SMTP, with or without its angle brackets. */
function readPath(value: string): string | null {
  return short(value.replace(/^<|>$/g, ''));
}

/** An address of IPv4 or IPv6 by its characters; nobody calls it. */
function readIp(value: string): string | null {
  const address = value.replace(/^\[(?:IPv6:)?|\]$/gi, '');
  return /^[0-9a-f]*[.:][0-9a-f.:]{2,43}$/i.test(address) ? address : null;
}

function short(value: string): string | null {
  return value === '' ? null : cutToLength(value, LONGEST_VALUE);
}
