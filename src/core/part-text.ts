import { findUtf8, readCharset } from './charset.ts';
import { findCharsetOfHtml } from './content-type.ts';
import type { Inside, Node } from './parser-inside.ts';

/** Most text that is made html, or the other way round, in a mail. */
const MAX_CONVERTED_LENGTH = 1024 * 1024;

/**
 * Of a mail with texts of both kinds one below the other, the parser makes each kind from the other. That takes 40 times
 * the size of a text of quotes: above the limit a text is in its own kind alone.
 */
export function renderTexts(inside: Inside): () => void {
  const render = inside.renderTextContent.bind(inside);
  return () => {
    let length = 0;
    for (const texts of inside.textMap.values()) {
      const kinds = [...inside.textTypes];
      const missing = kinds.find((kind) => texts[kind] === undefined);
      if (missing === undefined) continue;
      for (const kind of kinds) for (const { value } of texts[kind] ?? []) length += value.length;
      if (length > MAX_CONVERTED_LENGTH) texts[missing] = [];
    }
    render();
  };
}

/** Whether the parser decodes the content as text: for the texts of the mail, and an invitation wherever it is. */
export function isReadAsText({ contentType, contentDisposition }: Node): boolean {
  const type = contentType.parsed.value;
  if (type === 'text/calendar' || type === 'application/ics') return true;
  return contentDisposition.parsed.value !== 'attachment' && (type === 'text/plain' || type === 'text/html');
}

/** The text of a part. What is mended is handed to the parser as UTF-8, for the format (RFC 3676) it may be in. */
export function readText(node: Node, readAsNamed: () => string): string {
  const { parsed } = node.contentType;
  if (node.content === null) return readAsNamed();
  const bytes = new Uint8Array(node.content);
  if (parsed.value === 'text/html' && !parsed.params.charset && findUtf8(bytes) === undefined) {
    parsed.params.charset = findCharsetOfHtml(bytes) ?? '';
  }
  let asNamed: string | undefined;
  const text = readCharset(bytes, parsed.params.charset ?? '', () => {
    asNamed = readAsNamed();
    return asNamed;
  });
  if (text === asNamed) return text;
  node.content = Uint8Array.from(Buffer.from(text)).buffer;
  parsed.params.charset = 'utf-8';
  return readAsNamed();
}
