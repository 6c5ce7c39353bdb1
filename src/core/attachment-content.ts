import { hash } from 'node:crypto';
import type { Email, Attachment as Part } from 'postal-mime';
import { attachmentType } from './attachment-type.ts';
import type { Attachment } from './message.ts';
import { parseMime } from './mime.ts';
import { onOneLine, repairStrings } from './text.ts';

/**
 * One attachment of a mail and its decoded content; undefined if there is none of that index, or the mail cannot
 * be parsed. Indexes are those of the normalized mail. Parses the whole mail each time: content is not kept apart
 * from it. Not for a truncated mail, whose attachments are not here.
 */
export async function findAttachmentContent(
  bytes: Uint8Array,
  index: number,
): Promise<{ attachment: Attachment; content: Uint8Array } | undefined> {
  const email = await parseMime(bytes).catch(() => undefined);
  const part = email?.attachments[index];
  if (part === undefined) return undefined;
  const content = contentOf(part);
  const attachment = describe(part, content, index);
  repairStrings(attachment);
  return { attachment, content };
}

/** What the attachments of a parsed mail are, in the order of their parts; strings as the parser gave them. */
export function attachmentsOf(email: Email): Attachment[] {
  return email.attachments.map((part, index) => describe(part, contentOf(part), index));
}

/**
 * Inline is what says so, and what says nothing but has a Content-ID inside multipart/related: an image that the
 * html shows in its place. A part without a name stays without one (a signature of PGP, a report): its type tells
 * what it is. Nothing is unpacked or decrypted: TNEF, S/MIME and PGP are handed on as they came.
 */
function describe(part: Part, content: Uint8Array, index: number): Attachment {
  const isInline = part.disposition === 'inline' || (part.disposition === null && part.related === true);
  return {
    index,
    filename: part.filename === null ? null : onOneLine(part.filename),
    contentType: attachmentType(part.mimeType, part.filename, content),
    sizeBytes: content.byteLength,
    contentId: part.contentId === undefined ? null : withoutBrackets(part.contentId),
    disposition: isInline ? 'inline' : 'attachment',
    sha256: hash('sha256', content, 'hex'),
  };
}

function withoutBrackets(contentId: string): string {
  return contentId.trim().replace(/^<|>$/g, '');
}

function contentOf({ content }: Part): Uint8Array {
  // A string only under an option that parseMime does not set.
  if (typeof content === 'string') return Buffer.from(content);
  return content instanceof Uint8Array ? content : new Uint8Array(content);
}
