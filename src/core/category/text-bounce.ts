import type { Email } from 'postal-mime';
import { parseAddressList } from '../address-list.ts';
import { headerValue } from '../mime.ts';
import { cutToLength } from '../text.ts';
import { LONGEST_ADDRESS, LONGEST_DIAGNOSTIC, MAX_RECIPIENTS } from './delivery-status.ts';
import { isFromMailSystem, isNamedAsMailSystem } from './mail-system.ts';
import { messageIdOfText } from './original-message.ts';
import type { BounceRecipient } from './schema.ts';
import { findStatusCode } from './status-code.ts';

/** How much of a text is looked at: the report stands at its start, the returned mail may be long. */
const LONGEST_TEXT = 64 * 1024;

/** How much of the addresses in headers is looked at: more than 100 of them. */
const LONGEST_HEADER = 16_000;

/** Longest line looked at whole. */
const LONGEST_LINE = 1_000;

/** The qmail-send Bounce Message Format, 2: a body that begins so is one. https://cr.yp.to/proto/qsbmf.txt */
const QSBMF_START = 'Hi. This is the';

/** Subjects of reports: of Exchange and its Internet Mail Service, of Google, Exim, qmail, Postfix and sendmail. */
const REPORT_SUBJECT = new RegExp(
  [
    '^(?:undeliverable(?: mail)?:|(?:mail )?delivery status notification|mail delivery failed|failure notice',
    '|warning: (?:message \\S+ delayed|could not send message)|undelivered mail|delayed mail|returned mail:',
    '|delivery (?:has )?failed)',
  ].join(''),
  'i',
);

/** What the Internet Mail Service of Exchange 5.5 says below the subject of the mail itself. */
const EXCHANGE_MARK = 'did not reach the following recipient(s):';

/** An address that begins a line: of QSBMF `<user@example.com>:`, of the others mostly alone or with a colon. */
const LEADING_ADDRESS = /^[ \t]{0,20}<?([^\s<>"',;:()]{1,64}@[^\s<>"',;:()@]{1,255})>?(?=[\s:,;]|$)/;

/** Above the returned mail: "--- Below this line is a copy of the message.", "----- Original message -----". */
const COPY_MARK = /^--.*(?:copy of the message|original message|message follows|returned message)/i;

/**
 * A bounce in the forms that are text, for people: null if the mail is none. Known by
 *
 * - X-Failed-Recipients, a header that Exim and Google put into theirs, in a mail of a mail server or one that says it
 *   was submitted by a program;
 * - QSBMF of qmail, or what Exchange 5.5 says, in a mail of a mail server that names a recipient;
 * - a subject of reports, in a mail of a server by its name that names a recipient and a code of SMTP: postmasters are
 *   people too, and write of deliveries.
 *
 * `delayed` if the subject says so, else `failed`. Whatever stands below the mark of the returned mail is not read,
 * but for its Message-ID.
 */
export function findTextBounce(
  email: Email,
): { recipients: BounceRecipient[]; originalMessageId: string | null } | null {
  const failed = isFromMailSystem(email) || isAutoSubmitted(email) ? failedRecipients(email) : [];
  const isMarked = isFromMailSystem(email) && hasMark(email);
  const isSubjectOfReport = isNamedAsMailSystem(email) && REPORT_SUBJECT.test(email.subject ?? '');
  if (failed.length === 0 && !isMarked && !isSubjectOfReport) return null;

  const lines = (email.text ?? '').slice(0, LONGEST_TEXT).trimStart().split(/\r?\n/);
  const mark = lines.findIndex((line) => COPY_MARK.test(line.slice(0, LONGEST_LINE)));
  const report = (mark === -1 ? lines : lines.slice(0, mark)).map((line) => line.slice(0, LONGEST_LINE));
  const told = recipientsOf(report, email.from?.address ?? '');
  if (failed.length === 0 && (told.size === 0 || !(isMarked || hasCode(report)))) return null;

  const addresses = failed.length > 0 ? failed : [...told.keys()];
  const action = /\bdelay/i.test(email.subject ?? '') ? 'delayed' : 'failed';
  const fallback = paragraphWithCode(report);
  return {
    recipients: addresses.slice(0, MAX_RECIPIENTS).map((address) => {
      const diagnostic = cutToLength(told.get(address) || fallback, LONGEST_DIAGNOSTIC);
      return { address, action, status: findStatusCode(diagnostic), diagnostic: diagnostic || null };
    }),
    originalMessageId: mark === -1 ? null : messageIdOfText(lines.slice(mark + 1).join('\n')),
  };
}

function hasMark(email: Email): boolean {
  const text = (email.text ?? '').slice(0, LONGEST_TEXT).trimStart();
  return text.startsWith(QSBMF_START) || text.includes(EXCHANGE_MARK);
}

/** RFC 3834, 5: whoever is no person says so; `no` is a person's. */
function isAutoSubmitted(email: Email): boolean {
  return /^auto-/i.test(headerValue(email, 'auto-submitted').trim());
}

function failedRecipients(email: Email): string[] {
  const values = email.headers.filter(({ key }) => key === 'x-failed-recipients').slice(0, MAX_RECIPIENTS);
  if (values.length === 0) return [];
  const text = values.map(({ value }) => value).join(',');
  const addresses = parseAddressList(text.slice(0, LONGEST_HEADER)).map(({ address = '' }) => address);
  return [...new Set(addresses.filter(isAddress))];
}

function isAddress(text: string): boolean {
  return text.includes('@') && text.length <= LONGEST_ADDRESS;
}

/** The addresses that begin lines, each with what is said below it, up to a blank line or the next address. */
function recipientsOf(lines: readonly string[], reporter: string): Map<string, string> {
  const told = new Map<string, string[]>();
  let current: string[] | undefined;
  for (const line of lines) {
    const match = LEADING_ADDRESS.exec(line);
    const address = match?.[1]?.replace(/\.$/, '');
    if (match !== null && address !== undefined && address !== reporter && told.size < MAX_RECIPIENTS) {
      current = told.get(address) ?? [besideAddress(line.slice(match[0].length))];
      told.set(address, current);
    } else if (line.trim() === '') {
      current = undefined;
    } else {
      current?.push(line.trim());
    }
  }
  return new Map([...told].map(([address, below]) => [address, below.join(' ').trim()]));
}

/** Of what follows the address on its line, Exchange's "on Mon, 1 Jan 2024 10:00:00 +0000" is no reason. */
function besideAddress(rest: string): string {
  return rest.startsWith(' on ') ? '' : rest.replace(/^[\s:,;]+/, '');
}

/** Whether a line has a reply code of SMTP or a status code. */
const isCoded = (line: string) => /\b[45]\d\d[ -]/.test(line) || findStatusCode(line) !== null;
const hasCode = (lines: readonly string[]) => lines.some(isCoded);

/** Where the reason stands apart from the recipients: from the first line with a code of SMTP to a blank line. */
function paragraphWithCode(lines: readonly string[]): string {
  const start = lines.findIndex(isCoded);
  if (start === -1) return '';
  const end = lines.findIndex((line, index) => index > start && line.trim() === '');
  return lines
    .slice(start, end === -1 ? lines.length : end)
    .map((line) => line.trim())
    .join(' ');
}
