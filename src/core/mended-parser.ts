import PostalMime from 'postal-mime';
import { findUtf8, readCharset } from './charset.ts';
import { type ContentDecoder, createContentDecoder, type SourceLine } from './content-decoders.ts';
import { findCharsetOfHtml, mendContentType, type StructuredHeader } from './content-type.ts';
import { mendEncodedWords } from './encoded-words.ts';
import { MailgressError } from './errors.ts';
import { createHeaderLineReader } from './header-line.ts';

/** What is used of the parser's inside, none of it promised: that of version 4.0.0. */
type Inside = {
  currentNode: Node;
  av: Uint8Array;
  readPos: number;
  readLine(): { bytes: Uint8Array; done: boolean };
};
type Node = {
  state: 'header' | 'body' | 'finished';
  content: ArrayBuffer | null;
  contentType: { parsed: StructuredHeader };
  contentDisposition: { parsed: StructuredHeader };
  contentDecoder: ContentDecoder | null;
  setupContentDecoder(transferEncoding: string): void;
  getTextContent(): string;
  feed(line: Uint8Array): void;
};

const DASH = 0x2d;

/** Most parts: a part of nothing takes the parser 1.4 kB, a digest has hundreds of them. */
const MAX_PARTS = 10_000;

/**
 * A parser for this mail, mended where it is wrong or slow. It has no place for that, so that functions of its
 * inside are put around: the version in package.json is one alone, and the tests of mail tell what another one does.
 *
 * - Content is decoded by our decoders: by itself it keeps two Blob parts of each line that is not encoded, and a
 *   text of 25 MB takes 30 times its size and six seconds. What becomes an attachment keeps its line ends.
 * - Lines that cannot be a boundary are fed where they are read: each would else wait for a promise of its own.
 * - Headers in another charset than UTF-8, texts in another one than they name, types and file names are mended.
 * - More than 10,000 parts are refused, with MailgressError `bad_request`.
 */
export function createParser(
  mail: Uint8Array,
  options: ConstructorParameters<typeof PostalMime>[0],
): PostalMime {
  const parser = new PostalMime(options);
  // The cast holds for version 4.0.0, whose types leave its inside out.
  const inside = parser as unknown as Inside;
  const readLine = inside.readLine.bind(parser);
  const readHeaderLine = createHeaderLineReader(mail);
  let lineStart = 0;
  const sourceLine = () => ({
    bytes: inside.av.subarray(lineStart, inside.readPos),
    isLast: inside.readPos >= inside.av.length,
  });
  let node: Node | undefined;
  let parts = 0;
  inside.readLine = () => {
    // A boundary has made a node by now, of which no header is read yet. After the end of a multipart it is the node
    // around, which came by before.
    if (inside.currentNode !== node) {
      node = inside.currentNode;
      if (node.state === 'header') {
        parts += 1;
        if (parts > MAX_PARTS) throw new MailgressError('bad_request', `more than ${MAX_PARTS} parts`);
        mendNode(node, sourceLine);
      }
    }
    for (;;) {
      lineStart = inside.readPos;
      const { bytes, done } = readLine();
      const mayBeBoundary = bytes[0] === DASH && bytes[1] === DASH;
      const line = node.state === 'header' && !mayBeBoundary ? readHeaderLine(bytes) : bytes;
      if (done || mayBeBoundary) return { bytes: line, done };
      node.feed(line);
    }
  };
  return parser;
}

function mendNode(node: Node, sourceLine: () => SourceLine): void {
  node.setupContentDecoder = (transferEncoding) => {
    // The place where its headers are read, and nothing has come of them yet.
    mendContentType(node.contentType.parsed, node.contentDisposition.parsed.value);
    mendName(node.contentType.parsed.params, 'name');
    mendName(node.contentDisposition.parsed.params, 'filename');
    node.contentDecoder = createContentDecoder(transferEncoding, isReadAsText(node) ? undefined : sourceLine);
  };
  const readAsNamed = node.getTextContent.bind(node);
  node.getTextContent = () => readText(node, readAsNamed);
}

/** Whether the parser decodes the content as text: for the texts of the mail, and an invitation wherever it is. */
function isReadAsText({ contentType, contentDisposition }: Node): boolean {
  const type = contentType.parsed.value;
  if (type === 'text/calendar' || type === 'application/ics') return true;
  return contentDisposition.parsed.value !== 'attachment' && (type === 'text/plain' || type === 'text/html');
}

function mendName(params: Record<string, string>, key: string): void {
  const name = params[key];
  if (name !== undefined) params[key] = mendEncodedWords(name);
}

/** The text of a part. What is mended is handed to the parser as UTF-8, for the format (RFC 3676) it may be in. */
function readText(node: Node, readAsNamed: () => string): string {
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
