import { readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What a server writes about itself into `postmaster.pid`. It stays behind when the server is killed. */
export type PostmasterFile = {
  /** This and the port are undefined in the first moments of a start, or after a power cut in them. */
  pid: number | undefined;
  port: number | undefined;
  isReady: boolean;
  text: string;
};

/**
 * The file in `data`, undefined when there is none. Its lines (PostgreSQL's miscadmin.h, LOCK_FILE_LINE_*):
 * pid, data directory, start time, port, socket directory, address, shared memory, status.
 */
export async function readPostmasterFile(data: string): Promise<PostmasterFile | undefined> {
  try {
    const text = await readFile(postmasterFilePath(data), 'utf8');
    const lines = text.split('\n');
    return {
      pid: Number(lines[0]) || undefined,
      port: Number(lines[3]) || undefined,
      isReady: lines[7]?.trim() === 'ready',
      text,
    };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/**
 * Removes a file that a killed server left, unless it has changed. PostgreSQL would replace most such files
 * itself, but of two servers that do so at once the second can remove the first's new file, and the first
 * then runs unseen until it notices. Synchronous, to keep that window at microseconds.
 */
export function removePostmasterFile(data: string, text: string): void {
  const path = postmasterFilePath(data);
  try {
    if (readFileSync(path, 'utf8') === text) rmSync(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
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

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
