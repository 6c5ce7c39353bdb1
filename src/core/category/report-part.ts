import type { Email, Attachment as Part } from 'postal-mime';
import { headerValue } from '../mime.ts';

/** Most read of a report, and of the headers of the mail it is about, in bytes or characters. Real ones have some thousands. */
export const LONGEST_REPORT = 256 * 1024;

const REPORT = 'multipart/report';

/** Where the parameters of a Content-Type end at the latest: hostile ones are as long as headers may be. */
const LONGEST_CONTENT_TYPE = 2_000;

/**
 * The `report-type` of a multipart/report (RFC 6522, 3), in lower case; '' if it has none, which is against the RFC
 * and happens; undefined for any other mail.
 */
export function reportTypeOf(email: Email): string | undefined {
  const value = headerValue(email, 'content-type');
  if (value.slice(0, REPORT.length).toLowerCase() !== REPORT) return undefined;
  const parameter = /;\s*report-type\s*=\s*"?([a-z0-9-]+)/i.exec(value.slice(0, LONGEST_CONTENT_TYPE));
  return parameter?.[1]?.toLowerCase() ?? '';
}

/** The parts of these types, which are in lower case. */
export function partsOfTypes(email: Email, types: readonly string[]): Part[] {
  return email.attachments.filter(({ mimeType }) => types.includes(mimeType));
}

/** The first 256 KiB of a part as text in UTF-8, of which ASCII is a part (RFC 3464, 2.1; RFC 6533, 4). */
export function textOfPart({ content }: Part): string {
  if (typeof content === 'string') return content.slice(0, LONGEST_REPORT);
  const bytes = content instanceof Uint8Array ? content : new Uint8Array(content);
  return new TextDecoder().decode(bytes.subarray(0, LONGEST_REPORT));
}
