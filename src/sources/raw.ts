import type { RawMail } from '../core/raw-mail.ts';

/** Raw mail of a program that knows nothing beyond the bytes. */
export function toRawMail(bytes: Uint8Array): RawMail {
  return {
    bytes,
    truncated: false,
    identity: { base: 'content' },
    providerId: null,
    threadId: null,
    labels: [],
    folder: null,
    folderRole: null,
    internalDate: null,
    snippet: null,
  };
}
