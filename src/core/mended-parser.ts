import PostalMime, { type Email } from 'postal-mime';
import { createBoundaries } from './boundaries.ts';
import { type ContentDecoder, createContentDecoder, type SourceLine } from './content-decoders.ts';
import { mendContentDisposition, mendContentType } from './content-type.ts';
import { mendEncodedWords } from './encoded-words.ts';
import { MailgressError } from './errors.ts';
import { isContinuation, linesOf } from './header-block.ts';
import { readFields } from './header-fields.ts';
import { createHeaderLineReader } from './header-line.ts';
import type { Inside, Node } from './parser-inside.ts';
import { isReadAsText, readText, renderTexts } from './part-text.ts';

const DASH = 0x2d;
const COLON = 0x3a;
const LINE_END_BYTES = 2;

/** Most parts: a part of nothing takes the parser 1.4 kB, a digest has hundreds of them. */
const MAX_PARTS = 10_000;

/** How far behind a line that is no header another one is looked for: a line that was folded wrongly has it near. */
const HEADERS_AHEAD_BYTES = 4096;

/** `isWhole` is false if something was lost, or read where it should not stand, of the parts. */
export type ParsedMail = Email & { isWhole: boolean };

/**
 * Parses a mail, with the parser mended where it is wrong or slow. It has no place for that, so that functions of its
 * inside are put around: the version in package.json is one alone, and the tests of mail tell what another one does.
 *
 * - Content is decoded by our decoders: by itself it keeps two Blob parts of each line that is not encoded, and a
 *   text of 25 MB takes 30 times its size and six seconds. What becomes an attachment keeps its line ends.
 * - Lines that cannot be a boundary are fed where they are read: each would else wait for a promise of its own.
 * - Headers in another charset than UTF-8, texts in another one than they name, types and file names are mended.
 * - A line of a part that is no header begins its body, unless headers of its content follow.
 * - Lines that begin as a boundary, and long texts to convert, take the time of others.
 * - More than 10,000 parts are refused, with MailgressError `bad_request`.
 */
export async function parseMended(
  mail: Uint8Array,
  options: ConstructorParameters<typeof PostalMime>[0],
): Promise<ParsedMail> {
  const parser = new PostalMime(options);
  // The cast holds for version 4.0.0, whose types leave its inside out.
  const inside = parser as unknown as Inside;
  const readLine = inside.readLine.bind(parser);
  const reading = createReading(mail, inside);
  let node: Node | undefined;
  let parts = 0;
  const boundaries = createBoundaries();
  reading.onHeaders = () => boundaries.follow(inside.boundaries);
  inside.renderTextContent = renderTexts(inside);
  inside.buildMessage = buildWithFields(inside);
  inside.readLine = () => {
    // A boundary has made a node by now, of which no header is read yet. After the end of a multipart it is the node
    // around, which came by before.
    if (inside.currentNode !== node) {
      node = inside.currentNode;
      boundaries.follow(inside.boundaries);
      if (node.state === 'header') {
        parts += 1;
        if (parts > MAX_PARTS) throw new MailgressError('bad_request', `more than ${MAX_PARTS} parts`);
        mendNode(node, reading);
      }
    }
    for (;;) {
      reading.lineStart = inside.readPos;
      const line = readLine();
      const isDashed = line.bytes[0] === DASH && line.bytes[1] === DASH;
      if (line.done || (isDashed && boundaries.isNear(line.bytes))) return line;
      // Of a multipart that is over: what follows would be a part.
      if (isDashed && isBesideParts(node) && boundaries.isAny(line.bytes)) reading.isWhole = false;
      node.feed(line.bytes);
    }
  };
  const email = await parser.parse(inputOf(mail));
  return { ...email, isWhole: reading.isWhole };
}

function isBesideParts({ state, contentType }: Node): boolean {
  return state === 'finished' || (state === 'body' && contentType.multipart !== false);
}

/** The parser reads no header into a field: that takes it seconds where they are hostile. */
function buildWithFields(inside: Inside): () => Email {
  const build = inside.buildMessage.bind(inside);
  return () => {
    const { headers } = inside.root;
    inside.root.headers = [];
    return { ...build(), ...readFields(headers), headers };
  };
}

/** A view is copied by the parser, an ArrayBuffer is read as it is: that spares a mail of 25 MB a copy. */
function inputOf(bytes: Uint8Array): ArrayBuffer | Uint8Array {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength ? buffer : bytes;
}

/** Where in a mail its parser is, and what it has lost. */
type Reading = {
  lineStart: number;
  isWhole: boolean;
  /** The line it is at. */
  line(): SourceLine;
  /** Where a header of a content stands behind this line, before the body; -1 if none does. */
  findContentHeader(): number;
  /** A line of headers as it is fed to the parser, which counts it without its end. */
  headerLine(line: Uint8Array): Uint8Array;
  /** The headers of a part have been read. */
  onHeaders(): void;
};

function createReading(mail: Uint8Array, inside: Inside): Reading {
  const mendHeaderLine = createHeaderLineReader(mail);
  const reading: Reading = {
    lineStart: 0,
    isWhole: true,
    line: () => ({
      bytes: mail.subarray(reading.lineStart, inside.readPos),
      isLast: inside.readPos >= mail.length,
    }),
    findContentHeader() {
      let at = inside.readPos;
      for (const line of linesOf(mail.subarray(at, at + HEADERS_AHEAD_BYTES))) {
        const text = Buffer.from(line).toString('latin1');
        if (/^(?:[\r\n]*$|--)/.test(text)) return -1;
        if (/^content-[a-z-]+[ \t]*:/i.test(text)) return at;
        at += line.length;
      }
      return -1;
    },
    headerLine(line) {
      // 512 kB of headers of a letter each would else be 300 MB of objects.
      inside.headerSize += LINE_END_BYTES;
      return mendHeaderLine(line);
    },
    onHeaders() {},
  };
  return reading;
}

function mendNode(node: Node, reading: Reading): void {
  node.setupContentDecoder = (transferEncoding) => {
    // The place where its headers are read, and nothing has come of them yet but its boundary.
    reading.onHeaders();
    const { parsed, multipart } = node.contentType;
    const disposition = node.contentDisposition;
    mendContentDisposition(disposition.parsed, disposition.value);
    mendContentType(parsed, disposition.parsed.value);
    mendName(parsed.params, 'name');
    mendName(disposition.parsed.params, 'filename');
    if (multipart === false) {
      const source = isReadAsText(node) ? undefined : reading.line;
      node.contentDecoder = createContentDecoder(transferEncoding, source);
    } else node.contentDecoder = createOutsideOfParts(node, reading);
    if (node.state === 'header' && !isHeadOfPart(node)) reading.isWhole = false;
  };
  mendFeed(node, reading);
  const readAsNamed = node.getTextContent.bind(node);
  node.getTextContent = () => readText(node, readAsNamed);
}

/** What stands in a multipart beside its parts: nothing to read (RFC 2046, 5.1.1), unless it has no part at all. */
function createOutsideOfParts(node: Node, reading: Reading): ContentDecoder {
  let isBlank = true;
  return {
    update(line) {
      isBlank &&= line.every((byte) => byte <= 0x20);
    },
    async finalize() {
      if (!isBlank && node.childNodes.length === 0) reading.isWhole = false;
      return new ArrayBuffer(0);
    },
  };
}

/** Whether what a part ends in, before a blank line, are its headers: else it is a text of lines like `Note: a`. */
function isHeadOfPart({ parentNode, headerLines }: Node): boolean {
  return (
    parentNode === undefined ||
    headerLines.length === 0 ||
    headerLines.some((line) => /^content-/i.test(line))
  );
}

function mendFeed(node: Node, reading: Reading): void {
  const feed = node.feed.bind(node);
  let contentHeaderAt = -1;
  node.feed = (line) => {
    if (node.state !== 'header') return feed(line);
    const isStray = node.parentNode !== undefined && !mayStandInHeaders(line, node.headerLines.length === 0);
    if (!isStray) return feed(reading.headerLine(line));
    reading.isWhole = false;
    if (contentHeaderAt < reading.lineStart) contentHeaderAt = reading.findContentHeader();
    if (contentHeaderAt !== -1) return feed(reading.headerLine(line));
    // The blank line that is missing.
    feed(new Uint8Array(0));
    feed(line);
  };
}

/** The blank line, one that goes on with the header above it, and what begins with a name and a colon. */
function mayStandInHeaders(line: Uint8Array, isFirst: boolean): boolean {
  if (line.length === 0) return true;
  if (isContinuation(line)) return !isFirst;
  for (let at = 0; at < line.length; at += 1) {
    const byte = line[at] ?? 0;
    if (byte === COLON) return at > 0;
    if (byte <= 0x20 || byte >= 0x7f) return /^[\x21-\x39\x3b-\x7e]+[ \t]+:/.test(startOf(line));
  }
  return false;
}

function startOf(line: Uint8Array): string {
  return Buffer.from(line.subarray(0, 1024)).toString('latin1');
}

function mendName(params: Record<string, string>, key: string): void {
  const name = params[key];
  if (name !== undefined) params[key] = mendEncodedWords(name);
}
