import { parentPort } from 'node:worker_threads';
import { findAttachmentContent } from '../core/attachment-content.ts';

/** A mail, which the thread gets and the sender has no more. */
export type AttachmentTask = { mail: Uint8Array; index: number };

/* A thread that takes attachments out of mails: each message is answered by the content, or undefined if there is none. */
parentPort?.on('message', async ({ mail, index }: AttachmentTask) => {
  const found = await findAttachmentContent(mail, index);
  if (found === undefined) {
    parentPort?.postMessage(undefined);
    return;
  }
  // Handed over, not copied; of a part of a buffer only the part.
  const { byteLength, buffer } = found.content;
  const content = buffer.byteLength === byteLength ? found.content : found.content.slice();
  parentPort?.postMessage(content, [content.buffer as ArrayBuffer]);
});
