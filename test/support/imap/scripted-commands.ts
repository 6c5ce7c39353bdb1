import type { ScriptedMailbox } from './scripted-mailbox.ts';
import type { ScriptedSession } from './scripted-session.ts';

/**
 * Answers a command: lines without CR LF, in which a leading `$tag` stands for the tag. What it sends through `session`
 * goes out at once; `undefined` says nothing, and the command stays without an answer.
 */
export type CommandHandler = (
  command: { tag: string; name: string; args: string },
  session: ScriptedSession,
) => Answer | Promise<Answer>;

type Answer = readonly (string | Buffer)[] | string | undefined;

export type Handlers = Record<string, CommandHandler | null>;

const FLAGS = '\\Answered \\Flagged \\Deleted \\Seen \\Draft';

/** A server with one INBOX that takes any password: what a client needs to read mail, and no more. */
export function minimalHandlers(mailbox: ScriptedMailbox, capability: string): Handlers {
  const select =
    (access: string): CommandHandler =>
    ({ args }, session) => {
      if (nameOf(args) !== 'INBOX') return '$tag NO [NONEXISTENT] no such mailbox';
      session.state = 'selected';
      return [
        `* FLAGS (${FLAGS})`,
        `* ${mailbox.mails.length} EXISTS`,
        '* 0 RECENT',
        `* OK [UIDVALIDITY ${mailbox.uidValidity}] valid`,
        `* OK [UIDNEXT ${mailbox.uidNext}] next`,
        `$tag OK [${access}] selected`,
      ];
    };

  const fetch =
    (isUid: boolean): CommandHandler =>
    ({ args }) => {
      const [, set = '', items = ''] = /^(\S+) (.*)$/s.exec(args) ?? [];
      return [...mailbox.fetch(set, items, isUid), '$tag OK fetched'];
    };

  const status = () =>
    `* STATUS INBOX (MESSAGES ${mailbox.mails.length} UIDNEXT ${mailbox.uidNext} UIDVALIDITY ${mailbox.uidValidity} UNSEEN 0 RECENT 0)`;

  const login: CommandHandler = (_command, session) => {
    session.state = 'authenticated';
    return `$tag OK [CAPABILITY ${capability}] logged in`;
  };

  const search: CommandHandler = ({ name, args }) => {
    const set = /(?:UID )?([\d:*,]+)/.exec(args)?.[1] ?? '1:*';
    const isUid = name === 'UID SEARCH';
    const rows = mailbox.fetch(set, 'UID', isUid).map(String);
    const found = rows.map((row) => (isUid ? /UID (\d+)/ : /^\* (\d+)/).exec(row)?.[1]);
    return [`* SEARCH ${found.join(' ')}`.trimEnd(), '$tag OK searched'];
  };

  return {
    CAPABILITY: () => [`* CAPABILITY ${capability}`, '$tag OK done'],
    NOOP: () => '$tag OK done',
    CHECK: () => '$tag OK done',
    ID: () => ['* ID ("name" "scripted")', '$tag OK done'],
    LOGIN: login,
    AUTHENTICATE: async (command, session) => {
      if (command.args.split(' ').length === 1) await session.ask('+ ');
      return login(command, session);
    },
    LOGOUT: (_command, session) => {
      session.endAfterAnswer();
      return ['* BYE logging out', '$tag OK done'];
    },
    ENABLE: () => ['* ENABLED', '$tag OK done'],
    NAMESPACE: () => ['* NAMESPACE (("" "/")) NIL NIL', '$tag OK done'],
    LIST: ({ args }) => [
      /^(\(\) )?""? ""/.test(args) ? '* LIST (\\Noselect) "/" ""' : '* LIST (\\HasNoChildren) "/" INBOX',
      ...(/STATUS/i.test(args) ? [status()] : []),
      '$tag OK listed',
    ],
    LSUB: () => ['* LSUB () "/" INBOX', '$tag OK listed'],
    STATUS: () => [status(), '$tag OK done'],
    SELECT: select('READ-WRITE'),
    EXAMINE: select('READ-ONLY'),
    CLOSE: (_command, session) => {
      session.state = 'authenticated';
      return '$tag OK closed';
    },
    FETCH: fetch(false),
    'UID FETCH': fetch(true),
    SEARCH: search,
    'UID SEARCH': search,
    IDLE: async (_command, session) => {
      await session.ask('+ idling');
      return '$tag OK done idling';
    },
  };
}

/** A mailbox name as an atom or a quoted string. */
function nameOf(args: string): string {
  return (/^"([^"]*)"/.exec(args)?.[1] ?? args.split(' ')[0] ?? '').toUpperCase();
}
