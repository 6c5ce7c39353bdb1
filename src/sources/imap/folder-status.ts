import type { ImapFlow } from 'imapflow';
import type { ImapConnection } from './connection.ts';

/** How far a folder has come, by STATUS. */
export type FolderStatus = { uidNext: number; uidValidity: number };

/** UIDs behind the cursor that the server has given out and no listing showed, and how many probes have told so. */
export type Unseen = { uidNext: number; after: number; probes: number };

/** Then it has most likely gone before it was read, and the folder is opened for it more rarely. */
const UNSEEN_AFTER_PROBES = 5;
/** A server may show mail late: an hour of probes. */
const UNSEEN_LOOK_EACH = 120;

/**
 * Asks how far folders have come, without selecting them: in one command where the server has LIST-STATUS (RFC 5819). Whoever
 * answers is there, so this is the proof of life too.
 *
 * @returns by path; a folder that the server tells nothing of is not among them.
 */
export async function readStatuses(
  connection: ImapConnection,
  paths: readonly string[],
): Promise<Map<string, FolderStatus>> {
  // `%` and `*` in a name would be wildcards of LIST.
  const isListable = paths.every((path) => !/[%*]/.test(path));
  if (paths.length > 1 && isListable && connection.has('LIST-STATUS') && connection.has('LIST-EXTENDED')) {
    return listStatuses(connection, paths);
  }
  const found = new Map<string, FolderStatus>();
  for (const path of paths) {
    const status = await connection
      .run((client) => client.status(path, { uidNext: true, uidValidity: true }))
      .catch((error: unknown) => {
        // A folder that is gone shows when it is opened.
        if (!connection.isOpen()) throw error;
        return false as const;
      });
    if (status === false || status.uidNext === undefined) continue;
    found.set(path, { uidNext: status.uidNext, uidValidity: Number(status.uidValidity ?? 0) });
  }
  return found;
}

/**
 * Where a cursor stands in its folder. `behind`: there is more than was read. `other`: it is of another folder under this name,
 * or of one that has lost what was read.
 */
export function standingOf(
  cursor: { uidValidity: number; uid: number } | undefined,
  { uidNext, uidValidity }: FolderStatus,
): 'read' | 'behind' | 'other' {
  if (cursor === undefined) return 'behind';
  if (uidValidity !== cursor.uidValidity || uidNext - 1 < cursor.uid) return 'other';
  return uidNext - 1 > cursor.uid ? 'behind' : 'read';
}

/** @param before what the probe before told. */
export function noteUnseen(before: Unseen | undefined, after: number, { uidNext }: FolderStatus): Unseen {
  const isSame = before?.uidNext === uidNext && before.after === after;
  return { uidNext, after, probes: isSame ? before.probes + 1 : 1 };
}

/**
 * Whether a folder that is `behind` is to be opened for it. The cursor passes nothing that was not listed, so one whose last mail
 * went before it was read would otherwise be opened and listed at each probe for ever.
 */
export function isWorthALook({ probes }: Unseen): boolean {
  return probes <= UNSEEN_AFTER_PROBES || probes % UNSEEN_LOOK_EACH === 0;
}

type Attribute = { value?: unknown };

/** What imapflow runs all its commands with; its own `list` asks for the status of every folder there is. */
type WithExec = {
  exec(
    command: string,
    attributes: unknown[],
    options: {
      untagged: Record<string, (response: { attributes?: (Attribute | Attribute[])[] }) => Promise<void>>;
    },
  ): Promise<{ next(): void }>;
  run(command: string): Promise<unknown>;
  preCheck: false | (() => Promise<void>);
};

async function listStatuses(
  connection: ImapConnection,
  paths: readonly string[],
): Promise<Map<string, FolderStatus>> {
  // With the connection it is loaded already.
  const { decodePath, encodePath } = await import('imapflow/lib/tools.js');
  const found = new Map<string, FolderStatus>();
  await connection.run(async (client: ImapFlow) => {
    // The cast holds for the version that package.json pins, and the tests with Dovecot say so.
    const inside = client as unknown as WithExec;
    // Ends IDLE, as imapflow's own commands do.
    if (typeof inside.preCheck === 'function') await inside.preCheck();
    const patterns = paths.map((path) => ({ type: 'STRING', value: encodePath(client, path) }));
    const items = ['UIDNEXT', 'UIDVALIDITY'].map((value) => ({ type: 'ATOM', value }));
    const response = await inside.exec(
      'LIST',
      [
        { type: 'STRING', value: '' },
        patterns,
        { type: 'ATOM', value: 'RETURN' },
        [{ type: 'ATOM', value: 'STATUS' }, items],
      ],
      {
        untagged: {
          async STATUS({ attributes = [] }) {
            const [name, values] = attributes;
            if (name === undefined || Array.isArray(name) || !Array.isArray(values)) return;
            const numbers = new Map<string, number>();
            for (let at = 0; at + 1 < values.length; at += 2) {
              numbers.set(String(values[at]?.value).toUpperCase(), Number(values[at + 1]?.value));
            }
            const uidNext = numbers.get('UIDNEXT');
            const uidValidity = numbers.get('UIDVALIDITY');
            if (typeof name.value !== 'string' || !uidNext || uidValidity === undefined) return;
            const path = decodePath(client, name.value);
            found.set(path.toUpperCase() === 'INBOX' ? 'INBOX' : path, { uidNext, uidValidity });
          },
          async LIST() {},
        },
      },
    );
    response.next();
  });
  return new Map(
    paths.flatMap((path) => {
      const status = found.get(path.toUpperCase() === 'INBOX' ? 'INBOX' : path);
      return status === undefined ? [] : [[path, status] as const];
    }),
  );
}
