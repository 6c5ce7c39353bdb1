import { createHash, randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { describeError, MailgressError } from '../core/errors.ts';
import { createSecret } from '../core/signature.ts';

/** What `listen` keeps from one run to the next. */
const stateSchema = z.object({
  service: z.string(),
  forward: z.string(),
  secret: z.string(),
  /** Everything up to it was taken by the program; null before the first run has got so far. */
  cursor: z.string().nullable(),
});
export type ListenState = z.infer<typeof stateSchema>;

/** The file for this service and program, in the data directory. */
export function findStatePath(directory: string, service: string, forward: string): string {
  const name = createHash('sha256').update(`${service}\n${forward}`).digest('hex').slice(0, 12);
  return join(directory, `listen-${name}.json`);
}

/**
 * What was kept, or the beginning: a new secret and no place.
 *
 * @throws MailgressError `configuration` for a file that is something else or of another service, or cannot be read.
 */
export async function readState(path: string, service: string, forward: string): Promise<ListenState> {
  let state: ListenState;
  try {
    state = stateSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return { service, forward, secret: createSecret(), cursor: null };
    }
    const isOther = error instanceof SyntaxError || error instanceof z.ZodError;
    const reason = isOther
      ? 'is not what `mailgress listen` keeps'
      : `cannot be read: ${describeError(error)}`;
    throw new MailgressError('configuration', `${path} ${reason}; say another --state`, { cause: error });
  }
  if (state.service === service) return { ...state, forward };
  const message = `${path} has a place in the log of ${state.service}, which is none in that of ${service}; say another --state`;
  throw new MailgressError('configuration', message);
}

/** Whole or not at all. @throws MailgressError `configuration` if it cannot be written. */
export async function writeState(path: string, state: ListenState): Promise<void> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, `${JSON.stringify(state)}\n`, { mode: 0o600 });
    await rename(draft, path);
  } catch (cause) {
    throw new MailgressError('configuration', `${path} cannot be written: ${describeError(cause)}`, {
      cause,
    });
  }
}
