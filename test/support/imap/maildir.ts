import { chown, mkdir, rename, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isRoot, type Owner } from './dovecot-config.ts';

export type DropOptions = {
  folder?: string;
  /** Read mail goes to `cur` with these flags. */
  flags?: readonly ('seen' | 'answered' | 'flagged' | 'deleted' | 'draft')[];
  internalDate?: Date;
};

/** Files put straight into Maildirs, as a delivery agent on the same machine does: some 0.2 ms each. */
export type Maildirs = {
  /** Where `folder` lies; INBOX is the Maildir itself, and each other folder a directory beside `cur`. */
  path(user: string, folder?: string): string;
  /** Makes the folder, then the file. Dovecot gives UIDs in the order of the calls, which waits for each. */
  drop(user: string, raw: string | Uint8Array, options?: DropOptions): Promise<void>;
};

const FLAG_LETTERS = { draft: 'D', flagged: 'F', answered: 'R', seen: 'S', deleted: 'T' };

let drops = 0;

export function openMaildirs(root: string, owner: Owner): Maildirs {
  const made = new Map<string, Promise<void>>();

  function path(user: string, folder = 'INBOX'): string {
    const maildir = join(root, user, 'Maildir');
    return folder.toUpperCase() === 'INBOX' ? maildir : join(maildir, `.${folder.replaceAll('/', '.')}`);
  }

  async function make(user: string, folder: string | undefined): Promise<void> {
    const place = path(user, folder);
    const steps = [join(root, user), path(user), place];
    for (const name of ['tmp', 'new', 'cur']) {
      await mkdir(join(place, name), { recursive: true });
      steps.push(join(place, name));
    }
    if (isRoot) for (const step of steps) await chown(step, owner.uid, owner.gid);
  }

  return {
    path,
    async drop(user, raw, { folder, flags = [], internalDate } = {}) {
      const place = path(user, folder);
      let folderMade = made.get(place);
      if (folderMade === undefined) {
        folderMade = make(user, folder);
        made.set(place, folderMade);
      }
      await folderMade;
      const bytes = typeof raw === 'string' ? Buffer.from(raw) : raw;
      // Dovecot sorts new files by name: seconds first, so the counter is part of what it reads as microseconds.
      const seconds = Math.floor(Date.now() / 1000);
      const order = String(++drops).padStart(9, '0');
      const name = `${seconds}.M${order}P${process.pid}.${hostname()},S=${bytes.length}`;
      const letters = Object.entries(FLAG_LETTERS)
        .filter(([flag]) => flags.some((given) => given === flag))
        .map(([, letter]) => letter)
        .join('');
      const written = join(place, 'tmp', name);
      await writeFile(written, bytes);
      if (internalDate !== undefined) await utimes(written, internalDate, internalDate);
      await rename(
        written,
        letters === '' ? join(place, 'new', name) : join(place, 'cur', `${name}:2,${letters}`),
      );
    },
  };
}
