import type { CommandHandler, Handlers } from '../support/imap/scripted-commands.ts';
import { createScriptedMailbox, type ScriptedMailbox } from '../support/imap/scripted-mailbox.ts';
import {
  type ScriptedServer,
  type ScriptedSession,
  startScriptedServer,
} from '../support/imap/scripted-server.ts';

/** A mail with what extensions tell of it: `{ 'X-GM-MSGID': '17', EMAILID: '(M1)' }`, as on the wire. */
export type AccountMail = {
  raw: string | Buffer;
  internalDate?: string;
  uid?: number;
  items?: Record<string, string>;
};

export type AccountFolder = {
  path: string;
  /** LIST attributes, as in `\Junk`. */
  attributes: string;
  mailbox: ScriptedMailbox;
  /** Told at SELECT; undefined: NOMODSEQ. */
  highestModSeq?: number | undefined;
  /** Not in LIST, and not to be selected. */
  isGone: boolean;
  add(mail: AccountMail): number;
  remove(uid: number): void;
};

/** A server with several folders, whose mails have the items of extensions. What a test says is done instead. */
export type ScriptedAccount = AsyncDisposable & {
  server: ScriptedServer;
  password: string;
  folder(path: string): AccountFolder;
  /** A mail arrives: EXISTS to the sessions that have the folder selected. */
  arrive(path: string, mail: AccountMail): number;
  /** The UIDs that `X-GM-RAW` finds, by query. */
  gmailSearches: Map<string, Set<number>>;
  /** Asked before a FETCH of mails' bytes is answered; what it answers goes out instead. */
  onFetchBytes: (uids: readonly number[], session: ScriptedSession) => string | undefined;
  /** UIDs whose bytes were asked for, in order, by folder. */
  fetched(path: string): number[];
  /** The folder a session has selected. */
  selected(session: ScriptedSession): string | undefined;
};

export async function startScriptedAccount(options: {
  folders: Record<string, string>;
  capability?: string;
  uidValidity?: number;
  /** It does not say UIDNEXT anywhere. */
  isSilentOnUidNext?: boolean;
  /** It looks at so many mails a command, the highest, and says so or not (RFC 9738). */
  messageLimit?: { count: number; isSaid: boolean };
  handlers?: Handlers;
}): Promise<ScriptedAccount> {
  const items = new Map<ScriptedMailbox['mails'][number], Record<string, string>>();
  const folders = Object.entries(options.folders).map(([path, attributes]) =>
    createFolder(path, attributes, options.uidValidity ?? 1, items),
  );
  const selections = new WeakMap<ScriptedSession, AccountFolder>();
  const fetches: { path: string; uid: number }[] = [];
  const find = (path: string) => folders.find((folder) => folder.path === path && !folder.isGone);

  const select: CommandHandler = ({ args }, session) => {
    const folder = find(nameOf(args));
    selections.delete(session);
    session.state = 'authenticated';
    if (folder === undefined) return '$tag NO [NONEXISTENT] no such mailbox';
    selections.set(session, folder);
    session.state = 'selected';
    const { mailbox, highestModSeq } = folder;
    return [
      '* FLAGS (\\Seen)',
      `* ${mailbox.mails.length} EXISTS`,
      '* 0 RECENT',
      `* OK [UIDVALIDITY ${mailbox.uidValidity}] valid`,
      ...(options.isSilentOnUidNext ? [] : [`* OK [UIDNEXT ${mailbox.uidNext}] next`]),
      ...(highestModSeq === undefined ? [] : [`* OK [HIGHESTMODSEQ ${highestModSeq}] highest`]),
      '$tag OK [READ-ONLY] selected',
    ];
  };

  const statusOf = ({ path, mailbox }: AccountFolder) => {
    const uidNext = options.isSilentOnUidNext ? '' : ` UIDNEXT ${mailbox.uidNext}`;
    return `* STATUS "${path}" (MESSAGES ${mailbox.mails.length}${uidNext} UIDVALIDITY ${mailbox.uidValidity})`;
  };

  function cut(rows: readonly Buffer[]): { rows: readonly Buffer[]; code: string } {
    const { count, isSaid } = options.messageLimit ?? { count: rows.length, isSaid: false };
    if (rows.length <= count) return { rows, code: '' };
    const looked = rows.slice(-count);
    const lowest = /UID (\d+)/.exec(String(looked[0]))?.[1];
    return { rows: looked, code: isSaid ? `[MESSAGELIMIT ${count} ${lowest}] ` : '' };
  }

  const fetch: CommandHandler = ({ name, args }, session) => {
    const folder = selections.get(session);
    if (folder === undefined) return '$tag BAD no folder is selected';
    const [, set = '', asked = ''] = /^(\S+) (.*)$/s.exec(args) ?? [];
    if (/BODY/.test(asked)) {
      const uids = folder.mailbox
        .fetch(set, 'UID', true)
        .map((row) => Number(/UID (\d+)/.exec(String(row))?.[1]));
      fetches.push(...uids.map((uid) => ({ path: folder.path, uid })));
      const instead = account.onFetchBytes(uids, session);
      if (instead !== undefined) return instead;
    }
    const { rows, code } = cut(folder.mailbox.fetch(set, asked, name === 'UID FETCH'));
    return [...rows.map((row) => withItems(row, folder, asked, items)), `$tag OK ${code}fetched`];
  };

  const search: CommandHandler = ({ args }, session) => {
    const folder = selections.get(session);
    if (folder === undefined) return '$tag BAD no folder is selected';
    const isLast = /^\*/.test(args);
    const set = /\bUID ([\d:*,]+)/.exec(args)?.[1] ?? (isLast ? '*' : '1:*');
    const since = /\bSINCE "?([\w-]+)/.exec(args)?.[1];
    const raw = /X-GM-RAW "?([^"]+)/.exec(args)?.[1];
    const { rows, code } = cut(folder.mailbox.fetch(set, 'UID INTERNALDATE', true));
    const found = rows
      .map(String)
      .filter((row) => since === undefined || dateOf(row) >= Date.parse(since))
      .map((row) => Number(/UID (\d+)/.exec(row)?.[1]))
      .filter((uid) => raw === undefined || account.gmailSearches.get(raw)?.has(uid));
    return [`* SEARCH ${found.join(' ')}`.trimEnd(), `$tag OK ${code}searched`];
  };

  const server = await startScriptedServer({
    ...(options.capability !== undefined && { capability: options.capability }),
    handlers: {
      LIST: ({ args }) => {
        if (/^"" ""/.test(args)) return ['* LIST (\\Noselect) "/" ""', '$tag OK listed'];
        const isStatus = /STATUS/i.test(args);
        const there = folders.filter(
          ({ path, isGone }) => !isGone && (!isStatus || args.includes(`"${path}"`)),
        );
        return [
          ...there.map(({ path, attributes }) => `* LIST (${attributes}) "/" "${path}"`),
          ...(isStatus ? there.map(statusOf) : []),
          '$tag OK listed',
        ];
      },
      STATUS: ({ args }) => {
        const folder = find(nameOf(args));
        return folder === undefined
          ? '$tag NO [NONEXISTENT] no such mailbox'
          : [statusOf(folder), '$tag OK done'];
      },
      SELECT: select,
      EXAMINE: select,
      FETCH: fetch,
      'UID FETCH': fetch,
      'UID SEARCH': search,
      ...options.handlers,
    },
  });

  const account: ScriptedAccount = {
    server,
    password: 'any',
    folder(path) {
      const found = folders.find((folder) => folder.path === path);
      if (found === undefined) throw new Error(`the account has no ${path}`);
      return found;
    },
    arrive(path, mail) {
      const folder = account.folder(path);
      const uid = folder.add(mail);
      for (const session of server.sessions())
        if (selections.get(session) === folder) session.send(`* ${folder.mailbox.mails.length} EXISTS`);
      return uid;
    },
    gmailSearches: new Map(),
    onFetchBytes: () => undefined,
    fetched: (path) => fetches.filter((one) => one.path === path).map(({ uid }) => uid),
    selected: (session) => selections.get(session)?.path,
    [Symbol.asyncDispose]: () => server.stop(),
  };
  return account;
}

/** How a source reaches it. */
export function accountOf({ server }: ScriptedAccount, user: string): Record<string, unknown> {
  const { host, port } = server;
  return { host, port, security: 'none', auth: { type: 'password', user, password: 'any' } };
}

function createFolder(
  path: string,
  attributes: string,
  uidValidity: number,
  items: Map<ScriptedMailbox['mails'][number], Record<string, string>>,
): AccountFolder {
  const mailbox = createScriptedMailbox([], uidValidity);
  return {
    path,
    attributes,
    mailbox,
    isGone: false,
    add({ items: given = {}, internalDate = imapDate(new Date()), ...mail }) {
      const uid = mailbox.add({ ...mail, internalDate });
      const added = mailbox.mails.at(-1);
      if (added !== undefined) items.set(added, given);
      return uid;
    },
    remove(uid) {
      mailbox.mails = mailbox.mails.filter((mail) => mail.uid !== uid);
    },
  };
}

function withItems(
  row: Buffer,
  { mailbox }: AccountFolder,
  asked: string,
  items: ReadonlyMap<ScriptedMailbox['mails'][number], Record<string, string>>,
): Buffer {
  const start = row.indexOf('(') + 1;
  const mail = mailbox.mails[Number(/^\* (\d+)/.exec(row.toString('latin1'))?.[1]) - 1];
  const told = Object.entries((mail && items.get(mail)) ?? {}).filter(([name]) => asked.includes(name));
  const text = told.map(([name, value]) => `${name} ${value} `).join('');
  return Buffer.concat([row.subarray(0, start), Buffer.from(text), row.subarray(start)]);
}

/** As INTERNALDATE has it (RFC 9051, 9). */
export function imapDate(date: Date): string {
  const [, day = '', month = '', year = '', time = ''] =
    /^\w+, (\d+) (\w+) (\d+) (\S+) GMT$/.exec(date.toUTCString()) ?? [];
  return `${day}-${month}-${year} ${time} +0000`;
}

/** Of the day alone, as SINCE goes. */
function dateOf(row: string): number {
  return Date.parse(/INTERNALDATE "([\w-]+) /.exec(row)?.[1] ?? '');
}

/** A mailbox name as an atom or a quoted string. */
function nameOf(args: string): string {
  const name = /^"((?:[^"\\]|\\.)*)"/.exec(args)?.[1] ?? args.split(' ')[0] ?? '';
  return name.toUpperCase() === 'INBOX' ? 'INBOX' : name;
}
