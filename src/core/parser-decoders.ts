import type PostalMime from 'postal-mime';
import { type ContentDecoder, createContentDecoder } from './content-decoders.ts';

/** What is used of the parser's inside, none of it promised: that of version 4.0.0. */
type Inside = {
  currentNode?: Node;
  processLine?(line: Uint8Array, isFinal: boolean): Promise<void> | undefined;
};
type Node = {
  contentDecoder?: ContentDecoder | null;
  setupContentDecoder?(transferEncoding: string): void;
  feed?(line: Uint8Array): void;
};

const DASH = 0x2d;

/**
 * Has the parser decode the content of parts with our decoders, and take lines that cannot be a boundary without a
 * promise each. By itself it keeps two Blob parts of each line that is not encoded, so that a text of 25 MB takes 30
 * times its size and six seconds; of a small mail, Blobs are a third of the time.
 *
 * A parser whose inside is another one is left as it is: slower, and right.
 */
export function useOwnDecoders(parser: PostalMime): void {
  // The cast holds as all of it is optional: each is looked for before it is used.
  const inside = parser as unknown as Inside;
  const processLine = inside.processLine?.bind(parser);
  if (processLine === undefined) return;
  let node: Node | undefined;
  inside.processLine = (line, isFinal) => {
    // A boundary, taken asynchronously, has made a node by now; none of its headers is read yet.
    if (inside.currentNode !== node) {
      node = inside.currentNode;
      plant(node);
    }
    const mayBeBoundary = line[0] === DASH && line[1] === DASH;
    if (isFinal || mayBeBoundary || node?.feed === undefined) return processLine(line, isFinal);
    node.feed(line);
    return undefined;
  };
}

function plant(node: Node | undefined): void {
  if (node?.setupContentDecoder === undefined || !('contentDecoder' in node)) return;
  node.setupContentDecoder = (transferEncoding) => {
    node.contentDecoder = createContentDecoder(transferEncoding);
  };
}
