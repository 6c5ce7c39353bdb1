import type { RawMail } from '../../src/core/raw-mail.ts';

/** A raw mail of which the source knows nothing; a string is taken as UTF-8 with its line ends made CR LF. */
export function rawMail(mail: string | Uint8Array, known: Partial<RawMail> = {}): RawMail {
  return {
    bytes: typeof mail === 'string' ? bytesOf(mail) : mail,
    truncated: false,
    identity: { base: 'content' },
    providerId: null,
    threadId: null,
    labels: [],
    folder: null,
    folderRole: null,
    internalDate: null,
    snippet: null,
    ...known,
  };
}

/** UTF-8 with line ends as on the wire. */
export function bytesOf(mail: string): Uint8Array {
  return Buffer.from(mail.replace(/\r?\n/g, '\r\n'));
}

/** A multipart of parts that each have their own headers, a blank line and a body. */
export function multipart(type: string, parts: readonly string[], headers = ''): string {
  const open = parts.map((part) => `--frontier\n${part}\n`).join('');
  return `${headers}MIME-Version: 1.0\nContent-Type: multipart/${type}; boundary=frontier\n\n${open}--frontier--\n`;
}
