import { z } from 'zod';

const address = z.string().describe('An address, without a name and angle brackets');
const originalMessageId = z
  .string()
  .nullable()
  .describe('Message-ID of the mail this one is about, with angle brackets; null if the report does not say');

/** RFC 3464, 2.3.3. */
export const bounceActionSchema = z.enum(['failed', 'delayed', 'delivered', 'relayed', 'expanded']);

export const bounceRecipientSchema = z.object({
  address: address
    .nullable()
    .describe('As the sender wrote it where the report knows that, else the final one'),
  action: bounceActionSchema.nullable(),
  status: z.string().nullable().describe('Enhanced status code (RFC 3463), such as 5.1.1'),
  diagnostic: z
    .string()
    .nullable()
    .describe('What the refusing server said, on one line, at most 2,000 characters'),
});

/** A delivery status notification: not only of failure, `action` says of what. */
export const bounceSchema = z.object({
  status: bounceRecipientSchema.shape.status,
  action: bounceActionSchema
    .nullable()
    .describe(
      'failed: given up. delayed: still being tried. delivered, relayed, expanded: it went well. ' +
        'null: a report that says no more than that it is one',
    ),
  recipient: bounceRecipientSchema.shape.address.describe(
    'The first of the recipients with the worst action; status, action and diagnostic are about this one',
  ),
  diagnostic: bounceRecipientSchema.shape.diagnostic,
  originalMessageId,
  recipients: z.array(bounceRecipientSchema).describe('All the report names, at most 100'),
});

/** An abuse report (ARF, RFC 5965). */
export const complaintSchema = z.object({
  feedbackType: z
    .string()
    .describe('abuse, fraud, virus, opt-out, not-spam, auth-failure, other; in lower case (RFC 5965, 7.3)'),
  userAgent: z.string().nullable().describe('The program that wrote the report'),
  sourceIp: z.string().nullable().describe('The address the reported mail came from'),
  originalMailFrom: address.nullable().describe('The envelope sender of the reported mail'),
  recipients: z
    .array(address)
    .describe('The envelope recipients of the reported mail, at most 100; often withheld'),
  arrivalDate: z.iso.datetime().nullable().describe('When the reported mail arrived'),
  originalMessageId,
});

export const listSchema = z.object({
  id: z
    .string()
    .describe('List-Id without angle brackets and name; empty if there is only a way to unsubscribe'),
  name: z.string().nullable().describe('The name beside the List-Id, decoded'),
  unsubscribe: z
    .string()
    .describe('A URI: https where one is offered, else mailto, else http; empty if there is none'),
  oneClick: z
    .boolean()
    .describe(
      'The mail says that a POST of List-Unsubscribe=One-Click to `unsubscribe` unsubscribes (RFC 8058). ' +
        'Believe it only where a DKIM signature passes',
    ),
});

const calendarTime = z
  .string()
  .describe(
    'ISO 8601: UTC; a date alone if all day; without Z and offset if the time zone is not told or not known',
  );

export const calendarSchema = z.object({
  method: z
    .string()
    .describe('REQUEST, CANCEL, REPLY, PUBLISH ... in upper case (RFC 5546); empty if not told'),
  uid: z.string(),
  start: calendarTime.nullable(),
  end: calendarTime.nullable().describe('As start; of an all-day event the day after the last one'),
  allDay: z.boolean(),
  timeZone: z
    .string()
    .nullable()
    .describe('The time zone of start, as its writer names it; null for UTC and none'),
  recurring: z.boolean().describe('start and end are those of the first of a series'),
  recurrenceId: calendarTime.nullable().describe('Only the one of a series that was to start then is meant'),
  sequence: z.int().nonnegative().nullable(),
  summary: z.string().nullable(),
  location: z.string().nullable(),
  organizer: z.object({ name: z.string(), address: z.string() }).nullable(),
});

export const categorySchema = z.object({
  bounce: bounceSchema
    .nullable()
    .describe('A delivery status notification (RFC 3464, or the forms before it)'),
  complaint: complaintSchema.nullable().describe('A report about a mail, as feedback loops send it'),
  autoReply: z
    .boolean()
    .describe(
      'A program answered a mail: out of office, a ticket system. False for a bounce and a complaint',
    ),
  list: listSchema.nullable().describe('Sent by a mailing list, or with a header to unsubscribe'),
  calendar: calendarSchema.nullable().describe('The first event of the first readable calendar part'),
});

export type BounceAction = z.infer<typeof bounceActionSchema>;
export type BounceRecipient = z.infer<typeof bounceRecipientSchema>;
export type Bounce = z.infer<typeof bounceSchema>;
export type Complaint = z.infer<typeof complaintSchema>;
export type MailingList = z.infer<typeof listSchema>;
export type CalendarEvent = z.infer<typeof calendarSchema>;
export type Category = z.infer<typeof categorySchema>;
