import { z } from 'zod';
import { type Message, placementSchema } from './message.ts';
import { activeHoursSchema, isActiveAt, nextActiveAt } from './rules/active-hours.ts';
import { holdsPattern, isAddressed } from './rules/text-patterns.ts';
import { timeField } from './time-field.ts';

/** What PostgreSQL's jsonb refuses: U+0000, and half a character. */
const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed();
const unstorable = { error: 'must be well-formed text without U+0000' };

const addressPattern = z.string().max(320).refine(isStorable, unstorable);

const addressPatterns = z
  .array(addressPattern.regex(/^(?:\*|\S*@[^\s@]+)$/, { error: 'must be an address, @domain, or *' }))
  .min(1)
  .max(500);

/** As addresses are usually searched for, `*@domain` is `@domain`. Elsewhere in an address a `*` would match nothing but itself. */
const newAddressPatterns = z
  .array(
    addressPattern
      .regex(/^(?:\*|(?:\*|[^\s*]*)@[^\s@*]+)$/, {
        error: 'must be an address, @domain, *@domain, or *; elsewhere a * means nothing',
      })
      .overwrite((pattern) => (pattern.startsWith('*@') ? pattern.slice(1) : pattern)),
  )
  .min(1)
  .max(500);

/** Beyond the year 9999 ISO 8601 has another form, which PostgreSQL does not read; hours may open a year after a vacation. */
const LAST_HOLD_MS = Date.parse('9998-01-01T00:00:00Z');

const vacationSchema = z
  .strictObject({
    from: timeField,
    to: timeField.refine((to) => Date.parse(to) <= LAST_HOLD_MS, { error: 'must be before the year 9998' }),
  })
  .refine(({ from, to }) => Date.parse(from) < Date.parse(to), {
    path: ['to'],
    error: 'must be later than `from`',
  });

/** A mail that is of no category is `none`. */
const categoryNameSchema = z.enum(['bounce', 'complaint', 'autoReply', 'list', 'calendar', 'none']);

/**
 * What an endpoint wants of the events of its types; everything given must hold. What speaks of a mail, from `senders` to
 * `maxSizeBytes` and the subject group, holds for other events anyway.
 */
export const rulesSchema = z.strictObject({
  mailboxes: z
    .array(z.string().regex(/^mbx_[0-9a-f]{32}$/, { error: 'must be the id of a mailbox' }))
    .min(1)
    .max(500)
    .optional()
    .describe('Events of these; and events that are of no mailbox'),
  senders: addressPatterns.optional().describe('The From: an address, @domain, or *'),
  recipients: addressPatterns.optional().describe('One of To, Cc and Bcc'),
  subjectContains: z
    .array(z.string().min(1).max(200).refine(isStorable, unstorable))
    .min(1)
    .max(100)
    .optional()
    .describe(
      'One of these, in large or small letters; with * or ? in it, it is a pattern of the whole subject',
    ),
  placement: z.array(placementSchema).min(1).optional(),
  category: z.array(categoryNameSchema).min(1).optional().describe('One of these; none: of no category'),
  hasAttachment: z.boolean().optional().describe('One that is not inline'),
  maxSizeBytes: z.int().min(1).optional(),
  activeHours: activeHoursSchema.optional(),
  vacation: vacationSchema.optional().describe('Nothing is sent from then until then'),
  outside: z
    .enum(['hold', 'drop'])
    .optional()
    .describe('Outside active hours and in a vacation: sent when that is over (hold, the default), or never'),
  subjectGroup: z
    .strictObject({
      windowMs: z
        .int()
        .min(1000)
        .max(30 * 24 * 3_600_000),
    })
    .optional()
    .describe('Of the mails of one `subjectGroup` of a tenant the first, and for so long no other'),
});

/** As they are given; those that are stored may be of a version that took more. */
export const newRulesSchema = rulesSchema.extend({
  senders: newAddressPatterns.optional().describe('The From: an address, @domain (or *@domain), or *'),
  recipients: newAddressPatterns.optional().describe('One of To, Cc and Bcc'),
});

export type Rules = z.infer<typeof rulesSchema>;

/** What was in the way, by its name in the rules; `types` is those of the endpoint, `cancelled` the end of a replay. */
export type RuleName = keyof Omit<Rules, 'outside'> | 'types' | 'cancelled';

/** `isGuess`: of the mail only its headers are known, and they leave a rule open. */
export type Verdict =
  | { send: true; isGuess?: true }
  | { holdUntil: Date; rule: RuleName }
  | { skip: RuleName };

export type RuledMail = Pick<
  Message,
  | 'from'
  | 'to'
  | 'cc'
  | 'bcc'
  | 'subject'
  | 'placement'
  | 'labels'
  | 'folder'
  | 'category'
  | 'attachments'
  | 'sizeBytes'
  | 'truncated'
>;

export type RuledEvent = {
  mailboxId: string | null;
  /** The mail of a `message.received`, asked for only where a rule speaks of it; null for other events. */
  mail: () => RuledMail | null;
};

/**
 * Whether an event is to be sent now, later, or not at all, and by which rule. All but the subject group, which takes
 * memory (`store/subject-groups.ts`).
 *
 * A time to hold until is the first minute that is in the active hours and in no vacation.
 *
 * Of a truncated mail only the headers are known, perhaps for good, and no second event comes when the whole arrives. What they
 * cannot tell breaks no rule: better one mail too many than one lost. Open are then:
 *
 * - `hasAttachment`, either way;
 * - `maxSizeBytes`, unless the headers alone are larger;
 * - `category` where a bounce, a complaint, an invitation or `none` is wanted, unless the headers are of a wanted category. A
 *   list and an automatic reply are told by headers, and so is then that it is not `none`;
 * - `placement` of a mail with neither labels nor a folder: they may not have come.
 *
 * Senders, recipients and subject are known.
 */
export function judge(rules: Rules, event: RuledEvent, now: Date): Verdict {
  const { mailboxes } = rules;
  if (mailboxes !== undefined && event.mailboxId !== null && !mailboxes.includes(event.mailboxId)) {
    return { skip: 'mailboxes' };
  }
  const mail = hasRuleOfMail(rules) ? event.mail() : null;
  const answers = mail === null ? [] : askRules(rules, mail);
  const broken = answers.find(({ holds }) => holds === false);
  if (broken !== undefined) return { skip: broken.name };
  const rule = findClosed(rules, now);
  if (rule === undefined) {
    return answers.some(({ holds }) => holds === 'open') ? { send: true, isGuess: true } : { send: true };
  }
  return rules.outside === 'drop' ? { skip: rule } : { rule, holdUntil: opensAt(rules, now) };
}

type MailRule =
  | 'senders'
  | 'recipients'
  | 'subjectContains'
  | 'placement'
  | 'category'
  | 'hasAttachment'
  | 'maxSizeBytes';

/** `open`: the mail is truncated, and its headers do not tell. */
type Holds = boolean | 'open';

/** In the order in which the first one broken is told. */
const MAIL_RULES: { [Name in MailRule]: (wanted: NonNullable<Rules[Name]>, mail: RuledMail) => Holds } = {
  senders: (patterns, { from }) => isAddressed(patterns, [from]),
  recipients: (patterns, { to, cc, bcc }) => isAddressed(patterns, [...to, ...cc, ...bcc]),
  subjectContains: (patterns, { subject }) => holdsPattern(subject ?? '', patterns),
  placement: (placements, mail) => (isPlaceKnown(mail) ? placements.includes(mail.placement) : 'open'),
  category: (names, { category, truncated }) =>
    truncated ? isOfKnownCategory(category, names) : names.some((name) => isOfCategory(category, name)),
  hasAttachment: (wanted, { attachments, truncated }) =>
    truncated ? 'open' : attachments.some(({ disposition }) => disposition === 'attachment') === wanted,
  maxSizeBytes: (most, { sizeBytes, truncated }) => sizeBytes <= most && (!truncated || 'open'),
};

function isPlaceKnown({ truncated, folder, labels }: RuledMail): boolean {
  return !truncated || folder !== null || labels.length > 0;
}

// The cast holds: these are the keys that are written above.
const MAIL_RULE_NAMES = Object.keys(MAIL_RULES) as MailRule[];

function hasRuleOfMail(rules: Rules): boolean {
  return MAIL_RULE_NAMES.some((name) => rules[name] !== undefined);
}

function askRules(rules: Rules, mail: RuledMail): { name: MailRule; holds: Holds }[] {
  const ask = <Name extends MailRule>(name: Name): Holds => {
    const wanted = rules[name];
    return wanted === undefined || MAIL_RULES[name](wanted as NonNullable<Rules[Name]>, mail);
  };
  return MAIL_RULE_NAMES.map((name) => ({ name, holds: ask(name) }));
}

type CategoryName = z.infer<typeof categoryNameSchema>;

function isOfCategory(category: RuledMail['category'], name: CategoryName): boolean {
  if (name !== 'none') return category[name] !== null && category[name] !== false;
  return !categoryNameSchema.options.some((other) => other !== 'none' && isOfCategory(category, other));
}

/** What a bounce, a complaint or an invitation is stands in the body. */
const TOLD_BY_HEADERS: readonly CategoryName[] = ['autoReply', 'list'];

function isOfKnownCategory(category: RuledMail['category'], names: readonly CategoryName[]): Holds {
  if (names.some((name) => name !== 'none' && isOfCategory(category, name))) return true;
  const isNone = isOfCategory(category, 'none');
  return names.some((name) => (name === 'none' ? isNone : !TOLD_BY_HEADERS.includes(name))) && 'open';
}

function findClosed(rules: Rules, at: Date): 'vacation' | 'activeHours' | undefined {
  if (isOnVacation(rules, at)) return 'vacation';
  return rules.activeHours === undefined || isActiveAt(rules.activeHours, at) ? undefined : 'activeHours';
}

function isOnVacation({ vacation }: Rules, at: Date): boolean {
  return (
    vacation !== undefined &&
    Date.parse(vacation.from) <= at.getTime() &&
    at.getTime() < Date.parse(vacation.to)
  );
}

/** A vacation may begin before the hours do, and end in the middle of a night; after it there is no other. */
function opensAt(rules: Rules, now: Date): Date {
  const { vacation, activeHours } = rules;
  const nextActive = (at: Date) => (activeHours === undefined ? at : nextActiveAt(activeHours, at));
  const afterVacation = (at: Date) =>
    vacation !== undefined && isOnVacation(rules, at)
      ? new Date(Math.min(Date.parse(vacation.to), LAST_HOLD_MS))
      : at;
  return nextActive(afterVacation(nextActive(afterVacation(now))));
}
