import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What a server writes about itself into `postmaster.pid`. It stays behind when the server is killed. */
export type PostmasterFile = {
  pid: number;
  /** Undefined in the first moments of a start. */
  port: number | undefined;
  isReady: boolean;
  text: string;
};

/**
 * The file in `data`; undefined when there is none, or nothing in it yet. Lines (PostgreSQL's
 * miscadmin.h, LOCK_FILE_LINE_*): pid, data directory, start time, port, socket directory, address, shared
 * memory, status.
 */
export async function readPostmasterFile(data: string): Promise<PostmasterFile | undefined> {
  const text = await readFile(postmasterFilePath(data), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return { pid, port: Number(lines[3]) || undefined, isReady: lines[7]?.trim() === 'ready', text };
}

export function postmasterFilePath(data: string): string {
  return join(data, 'postmaster.pid');
}

/** Whether any process has this id now; it need not be the one that had it when the file was written. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, and another user's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
