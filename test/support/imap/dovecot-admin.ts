import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';

/** What happens to mailboxes behind the back of whoever watches them. Each call is one `doveadm`, some 30 ms. */
export type DovecotAdmin = {
  /** Runs `doveadm` with these arguments; answers its output, rejects with its complaint. */
  doveadm(args: readonly string[], input?: string | Uint8Array): Promise<string>;
  /** As IMAP's APPEND, by another client. */
  append(user: string, raw: string | Uint8Array, options?: { folder?: string }): Promise<void>;
  createFolder(user: string, folder: string): Promise<void>;
  renameFolder(user: string, from: string, to: string): Promise<void>;
  deleteFolder(user: string, folder: string): Promise<void>;
  /** Moves or removes what the search finds: 'ALL' unless told, else as in `UID 5`, `HEADER Subject x`. */
  move(user: string, from: string, to: string, search?: string): Promise<void>;
  copy(user: string, from: string, to: string, search?: string): Promise<void>;
  expunge(user: string, folder: string, search?: string): Promise<void>;
  /** Adds flags or takes them away, as in `\Seen` or `$Label`. */
  flag(user: string, folder: string, how: 'add' | 'remove', flags: string, search?: string): Promise<void>;
  /** Gives the folder another UIDVALIDITY, 1 above the present one unless told; answers it. */
  flipUidValidity(user: string, folder?: string, uidValidity?: number): Promise<number>;
  status(user: string, folder?: string): Promise<FolderStatus>;
};

export type FolderStatus = {
  messages: number;
  uidNext: number;
  uidValidity: number;
  highestModSeq: string;
};

const PROGRAM = ['/usr/bin/doveadm', '/usr/local/bin/doveadm'].find((path) => existsSync(path)) ?? 'doveadm';

export function createAdmin(configPath: string): DovecotAdmin {
  function doveadm(args: readonly string[], input?: string | Uint8Array): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile(PROGRAM, ['-c', configPath, ...args], (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`doveadm ${args.join(' ')}: ${stderr.trim() || error.message}`));
      });
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
    });
  }

  async function status(user: string, folder = 'INBOX'): Promise<FolderStatus> {
    const fields = 'messages uidnext uidvalidity highestmodseq';
    const text = await doveadm(['-f', 'flow', 'mailbox', 'status', '-u', user, fields, folder]);
    const fieldOf = (name: string) => new RegExp(`\\b${name}=(\\d+)`).exec(text)?.[1] ?? '';
    return {
      messages: Number(fieldOf('messages')),
      uidNext: Number(fieldOf('uidnext')),
      uidValidity: Number(fieldOf('uidvalidity')),
      highestModSeq: fieldOf('highestmodseq'),
    };
  }

  const words = (search: string) => search.split(' ');

  return {
    doveadm,
    status,
    async append(user, raw, { folder = 'INBOX' } = {}) {
      await doveadm(['save', '-u', user, '-m', folder], raw);
    },
    async createFolder(user, folder) {
      await doveadm(['mailbox', 'create', '-s', '-u', user, folder]);
    },
    async renameFolder(user, from, to) {
      await doveadm(['mailbox', 'rename', '-u', user, from, to]);
    },
    async deleteFolder(user, folder) {
      await doveadm(['mailbox', 'delete', '-s', '-u', user, folder]);
    },
    async move(user, from, to, search = 'ALL') {
      await doveadm(['move', '-u', user, to, 'mailbox', from, ...words(search)]);
    },
    async copy(user, from, to, search = 'ALL') {
      await doveadm(['copy', '-u', user, to, 'mailbox', from, ...words(search)]);
    },
    async expunge(user, folder, search = 'ALL') {
      await doveadm(['expunge', '-u', user, 'mailbox', folder, ...words(search)]);
    },
    async flag(user, folder, how, flags, search = 'ALL') {
      await doveadm(['flags', how, '-u', user, flags, 'mailbox', folder, ...words(search)]);
    },
    async flipUidValidity(user, folder = 'INBOX', uidValidity) {
      const value = uidValidity ?? (await status(user, folder)).uidValidity + 1;
      await doveadm(['mailbox', 'update', '-u', user, '--uid-validity', String(value), folder]);
      return value;
    },
  };
}
