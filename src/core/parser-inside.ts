import type { Email, Header } from 'postal-mime';
import type { OpenMultipart } from './boundaries.ts';
import type { ContentDecoder } from './content-decoders.ts';
import type { StructuredHeader } from './content-type.ts';

/** A text of a mail, by its kind. */
export type TextKind = 'plain' | 'html';
/** What is used of the parser's inside, none of it promised: that of version 4.0.0. */
export type Inside = {
  root: { headers: Header[] };
  currentNode: Node;
  readPos: number;
  /** Bytes of headers read, of all parts. */
  headerSize: number;
  boundaries: OpenMultipart[];
  /** Of each part or multipart/alternative: its texts by kind. */
  textMap: Map<object, { [kind in TextKind]?: { value: string }[] }>;
  textTypes: Set<TextKind>;
  renderTextContent(): void;
  buildMessage(): Email;
  readLine(): { bytes: Uint8Array; done: boolean };
};
/** A mail or a part of it, as the parser reads it. */
export type Node = {
  state: 'header' | 'body' | 'finished';
  content: ArrayBuffer | null;
  parentNode?: Node;
  childNodes: Node[];
  headerLines: string[];
  contentType: { parsed: StructuredHeader; multipart: string | false };
  contentDisposition: { value: string; parsed: StructuredHeader };
  contentDecoder: ContentDecoder | null;
  setupContentDecoder(transferEncoding: string): void;
  getTextContent(): string;
  feed(line: Uint8Array): void;
};
