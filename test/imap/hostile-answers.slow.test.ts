import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDovecot } from '../support/imap/dovecot.ts';
import { existsStorm } from '../support/imap/hostile.ts';
import {
  type CommandHandler,
  type ScriptedServer,
  startScriptedServer,
} from '../support/imap/scripted-server.ts';
import { mailTo, until } from './stage.ts';
import { addNeighbour, startTroubledStage, type TroubledStage, waitForFailure } from './trouble.ts';

/* Servers that say what no server should. After each, the mail that was there comes, once, and nothing else does. */

const dovecot = await startDovecot();
after(() => dovecot.stop());
// What keeps this machine busy is no silence of a server.
const stage = await startTroubledStage({ imapTimeouts: { connectMs: 10_000, commandMs: 10_000 } });
after(() => stage[Symbol.asyncDispose]());
const neighbour = await addNeighbour(stage, dovecot);
after(() => neighbour.proxy.close());

type Hostile = { server: ScriptedServer; id: string; user: string; usual: CommandHandler };

async function startHostile(at: number | string, mails = 0): Promise<Hostile> {
  const user = `hostile-${at}@example.com`;
  const server = await startScriptedServer({
    mails: Array.from({ length: mails }, (_, index) => ({ raw: mailTo(user, `old ${index}`) })),
  });
  after(() => server.stop());
  const { status, body } = await stage.addSource(user, {
    ...{ host: '127.0.0.1', port: server.port, security: 'none' },
    auth: { type: 'password', user, password: 'secret-Of-This-Test-3' },
  });
  assert.equal(status, 201, JSON.stringify(body));
  await stage.waitForState(body.id, 'idle');
  const usual = server.handlers['UID FETCH'];
  assert.ok(usual);
  return { server, id: body.id, user, usual };
}

const isListing = (args: string) => args.includes('RFC822.SIZE');
const isFetch = (args: string) => args.includes('BODY.PEEK[]');
const row = (uid: unknown, rest = 'RFC822.SIZE 100 INTERNALDATE "20-Nov-2026 10:00:00 +0000"') =>
  `* 1 FETCH (UID ${uid} ${rest})`;

/** Adds to what the server truly answers. */
const adding =
  (usual: CommandHandler, when: (args: string) => boolean, ...lines: (string | Buffer)[]): CommandHandler =>
  (command, session) => {
    if (when(command.args)) session.send(...lines);
    return usual(command, session);
  };

/** What is told with the answers, while mail comes all the same and the session goes on. */
const BORNE: [string, (hostile: Hostile) => void][] = [
  [
    'flags of mails that nobody asked for, in IDLE',
    ({ server }) => server.say('* 1 FETCH (FLAGS (\\Seen))', '* 77 FETCH (UID 77 FLAGS (\\Deleted))'),
  ],
  [
    'flags in place of a mail, before it',
    ({ server, usual }) => {
      server.handlers['UID FETCH'] = adding(usual, isFetch, row(1, 'FLAGS (\\Seen)'), row(2, 'FLAGS ()'));
    },
  ],
  [
    'rows without a UID',
    ({ server, usual }) => {
      server.handlers['UID FETCH'] = adding(usual, () => true, '* 3 FETCH (FLAGS (\\Seen))');
    },
  ],
  [
    'each row twice',
    ({ server, usual }) => {
      server.handlers['UID FETCH'] = async (command, session) => {
        const answer = await usual(command, session);
        const lines = Array.isArray(answer) ? answer : [];
        return [...lines.slice(0, -1), ...lines];
      };
    },
  ],
  [
    'mails that nobody asked for',
    ({ server, usual }) => {
      const forged = Buffer.from('Subject: forged\r\n\r\nHello\r\n');
      server.handlers['UID FETCH'] = adding(
        usual,
        isFetch,
        Buffer.concat([
          Buffer.from(`* 8 FETCH (UID 8 BODY[] {${forged.length}}\r\n`),
          forged,
          Buffer.from(')'),
        ]),
      );
    },
  ],
  [
    'rows that cannot be read, before those that can',
    ({ server, usual }) => {
      server.handlers['UID FETCH'] = async (command, session) => {
        const answer = await usual(command, session);
        const lines = Array.isArray(answer) ? answer : [];
        if (!isListing(command.args)) return lines;
        return [
          `* 1 FETCH (UID 1 ${'('.repeat(5000)}`,
          '* 1 FETCH (UID 1 RFC822.SIZE {-5}',
          ...lines.slice(1),
        ];
      };
    },
  ],
  [
    'EXISTS that goes up and down',
    ({ server }) =>
      server.say('* 0 EXISTS', '* 4294967295 EXISTS', '* 1 EXISTS', '* 3 EXPUNGE', '* 9 RECENT'),
  ],
  [
    'a storm of EXISTS',
    ({ server, usual }) => {
      server.handlers['UID FETCH'] = async (command, session) => {
        await existsStorm(20_000)(command, session);
        return usual(command, session);
      };
    },
  ],
  [
    'alerts, and answers that do not exist',
    ({ server }) =>
      server.say('* OK [ALERT] hear me', '* XYZZY 1 2 3', '* NO well', '* BAD well', '* FLAGS ()'),
  ],
];

describe('what is of no use is passed over', { concurrency: 5 }, () => {
  for (const [at, [name, begin]] of BORNE.entries())
    test(name, async () => {
      const hostile = await startHostile(at);
      const { server, user } = hostile;
      begin(hostile);
      const subjects = [1, 2, 3].map((count) => `${name} ${count}`);
      for (const subject of subjects) server.arrive({ raw: mailTo(user, subject) });
      await stage.waitForSubjects(subjects, 60_000);
      server.handlers['UID FETCH'] = hostile.usual;
      server.arrive({ raw: mailTo(user, `${name} after`) });
      await stage.waitForSubjects([`${name} after`], 60_000);
      const source = await stage.waitForState(hostile.id, 'idle', 60_000);
      assert.equal(source.state, 'idle');
      await assertAlone(stage, user, [...subjects, `${name} after`]);
    });
});

/** What ends the session, with the class it is told as, until the server is as it should be. */
const REFUSED: [string, RegExp, (hostile: Hostile) => void][] = [
  [
    'a UID that it cannot have come to',
    /UID 4000000000, which it has not come to/,
    ({ server, usual }) => {
      server.handlers['UID FETCH'] = adding(usual, isListing, row(4_000_000_000));
    },
  ],
  [
    'a UID that it has not come to, near by',
    /UID 500, which it has not come to/,
    ({ server, usual }) => {
      server.handlers['UID FETCH'] = adding(usual, isListing, row(500));
    },
  ],
  [
    'UIDs that are none',
    /lists mails without UIDs/,
    ({ server, usual }) => {
      const rows = ['0', '4294967296', '99999999999999999999', 'NIL'].map((uid) => row(uid));
      server.handlers['UID FETCH'] = adding(usual, isListing, ...rows);
    },
  ],
  [
    'flags of a mail that is not there, in a listing',
    /UID 999, which it has not come to/,
    ({ server, usual }) => {
      server.handlers['UID FETCH'] = adding(usual, isListing, '* 9 FETCH (UID 999 FLAGS (\\Seen))');
    },
  ],
  [
    'a listing without UIDs',
    /without UIDs|no IMAP/,
    ({ server }) => {
      server.handlers['UID FETCH'] = () => [
        '* 1 FETCH (RFC822.SIZE 100 INTERNALDATE "20-Nov-2026 10:00:00 +0000")',
        '$tag OK done',
      ];
    },
  ],
  [
    'a literal of absurd size',
    /no IMAP, or too much of it \(LiteralTooLarge\)/,
    ({ server, usual }) => {
      server.handlers['UID FETCH'] = (command, session) =>
        isFetch(command.args)
          ? ['* 1 FETCH (UID 1 BODY[] {99999999999999999999}', 'Hello)', '$tag OK done']
          : usual(command, session);
    },
  ],
  [
    'a command answered under another tag',
    /no IMAP|not answered/,
    ({ server }) => {
      server.handlers.STATUS = () => 'X999 OK done';
    },
  ],
  [
    'a refusal of every FETCH',
    /FETCH with NO|UID with NO|does not give/,
    ({ server }) => {
      server.handlers['UID FETCH'] = () => '$tag NO never';
    },
  ],
  [
    'a BYE in IDLE',
    /closed the connection: "for no reason"/,
    ({ server }) => {
      server.say('* BYE for no reason');
      for (const session of server.sessions()) session.end();
    },
  ],
];

describe('what would lose mail ends the session, is told by its class, and mail comes when it is over', {
  concurrency: 5,
}, () => {
  for (const [at, [name, reason, begin]] of REFUSED.entries())
    test(name, async () => {
      const hostile = await startHostile(`refused-${at}`);
      const { server, user, id } = hostile;
      const usualStatus = server.handlers.STATUS;
      begin(hostile);
      const subjects = [1, 2].map((count) => `${name} ${count}`);
      for (const subject of subjects) server.arrive({ raw: mailTo(user, subject) });
      const source = await waitForFailure(stage, id, reason, 60_000);
      assert.ok(!source.reason.includes('undefined'), source.reason);
      server.handlers['UID FETCH'] = hostile.usual;
      if (usualStatus) server.handlers.STATUS = usualStatus;
      await stage.hurry(id);
      await stage.waitForSubjects(subjects, 60_000);
      await stage.waitForState(id, 'idle', 60_000);
      server.arrive({ raw: mailTo(user, `${name} after`) });
      await stage.waitForSubjects([`${name} after`], 60_000);
      await assertAlone(stage, user, [...subjects, `${name} after`]);
    });
});

test('mail that went before it was seen is nobody’s fault: the source is proven alive', async () => {
  const { server, id } = await startHostile('gone');
  const provenAt = async () => (await stage.readSource(id)).lastProvenAliveAt;
  server.mailbox.add({ raw: 'Subject: gone\r\n\r\n' });
  server.mailbox.mails.pop();
  server.say('* 1 EXISTS', '* 1 EXPUNGE');
  const before = await provenAt();
  await until(
    async () => (await provenAt()) !== before,
    20_000,
    () => 'it is not proven alive',
  );
});

test('all the while the other mailbox went on', () => neighbour.assertUntouched());

/** Holds that these are all the mails there are of an address. */
async function assertAlone(
  { sql }: TroubledStage,
  address: string,
  subjects: readonly string[],
): Promise<void> {
  const rows = await sql`
    SELECT subject FROM messages JOIN mailboxes ON mailboxes.id = mailbox_id WHERE address = ${address}`;
  assert.deepEqual(rows.map(({ subject }) => subject).sort(), [...subjects].sort());
}
