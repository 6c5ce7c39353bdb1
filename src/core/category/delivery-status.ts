import { cutToLength } from '../text.ts';
import { type ReportField, readReportFields } from './report-fields.ts';
import { type BounceAction, type BounceRecipient, bounceActionSchema } from './schema.ts';
import { findStatusCode } from './status-code.ts';

/** Most recipients kept of a report, and of a list of addresses. */
export const MAX_RECIPIENTS = 100;

/** Longest diagnostic kept, in UTF-16 units; a line of SMTP has 512. */
export const LONGEST_DIAGNOSTIC = 2_000;

/** Longest address kept, in UTF-16 units. A path of SMTP has at most 256 (RFC 5321, 4.5.3.1.3), escapes make it longer. */
export const LONGEST_ADDRESS = 1_000;

type Group = Map<string, string>;

/**
 * The recipients a message/delivery-status (RFC 3464, 2.3) or message/global-delivery-status (RFC 6533, 4) tells
 * of, in their order, at most 100; none if the text is no such report.
 *
 * The RFC parts recipients by blank lines. Some servers leave these out, then a field that names a recipient once
 * more begins the next; others set one more, then what names no recipient belongs to the one above.
 */
export function readDeliveryStatus(text: string): BounceRecipient[] {
  return groupsOf(readReportFields(text)).slice(0, MAX_RECIPIENTS).map(recipientOf);
}

function groupsOf(fields: readonly ReportField[]): Group[] {
  const blocks: Group[] = [];
  for (const { name, value, startsGroup } of fields) {
    if (startsGroup || (isNaming(name) && blocks.at(-1)?.has(name))) blocks.push(new Map());
    fill(blocks.at(-1), name, value);
  }
  const groups: Group[] = [];
  for (const block of blocks) {
    if ([...block.keys()].some(isNaming)) groups.push(block);
    else for (const [name, value] of block) fill(groups.at(-1), name, value);
  }
  return groups;
}

function isNaming(name: string): boolean {
  return name === 'final-recipient' || name === 'original-recipient';
}

function fill(group: Group | undefined, name: string, value: string): void {
  if (!group?.has(name)) group?.set(name, value);
}

function recipientOf(group: Group): BounceRecipient {
  const diagnostic =
    withoutType(group.get('diagnostic-code') ?? '') || (group.get('x-supplementary-info') ?? '');
  const status = findStatusCode(group.get('status') ?? '') ?? findStatusCode(diagnostic);
  return {
    // The address the sender used (2.3.1) is the one he knows; the final one may be behind an alias.
    address:
      readTypedAddress(group.get('original-recipient') ?? '') ??
      readTypedAddress(group.get('final-recipient') ?? ''),
    action: readAction(group.get('action') ?? '', status),
    status,
    diagnostic: diagnostic === '' ? null : cutToLength(diagnostic, LONGEST_DIAGNOSTIC),
  };
}

/** What a comment says behind the word is left out. A report without the field has to be read off its status. */
function readAction(value: string, status: string | null): BounceAction | null {
  const word = bounceActionSchema.safeParse(/^[a-z]+/i.exec(value)?.[0].toLowerCase());
  if (word.success) return word.data;
  if (status === null) return null;
  return status.startsWith('5') ? 'failed' : status.startsWith('4') ? 'delayed' : 'delivered';
}

/** `smtp; 550 5.1.1 ...` (2.3.6): the type says nothing that the text does not. */
function withoutType(value: string): string {
  return value.replace(/^[a-z0-9-]{1,30} ?; ?/i, '');
}

/**
 * `rfc822; user@example.com` (2.3.2), `utf-8; ...` (RFC 6533, 3), which may be escaped as `\x{4E2D}`. An address
 * of another kind (X.400) counts only if it looks like one of mail; a file or a program, which Exim tells of as
 * rfc822 too, never.
 */
function readTypedAddress(value: string): string | null {
  const [, type = '', typed = value] = /^([a-z0-9-]{1,30}) ?; ?(.*)$/i.exec(value) ?? [];
  const bare = /^<([^<>]*)>/.exec(typed)?.[1] ?? (typed.startsWith('"') ? typed : typed.split(' ')[0]);
  const address = type.toLowerCase() === 'utf-8' ? unescapeUtf8(bare ?? '') : (bare ?? '');
  const isMail = address.indexOf('@') > 0 || /^(?:rfc822|utf-8)$/i.test(type);
  const isLocal = /^[^@/|<>]/.test(address);
  return isMail && isLocal && address.length <= LONGEST_ADDRESS ? address : null;
}

/** RFC 6533, 3: EmbeddedUnicodeChar. A number that names no character stays as it is. */
function unescapeUtf8(address: string): string {
  return address.replace(/\\x\{([0-9a-f]{2,6})\}/gi, (written, hex: string) => {
    const codePoint = Number.parseInt(hex, 16);
    const isSurrogate = codePoint >= 0xd800 && codePoint <= 0xdfff;
    return codePoint > 0x10ffff || isSurrogate ? written : String.fromCodePoint(codePoint);
  });
}
