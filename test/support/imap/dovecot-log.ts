/** One login that Dovecot's log tells of. */
export type Login = {
  user: string;
  /** PLAIN, LOGIN, XOAUTH2 or OAUTHBEARER. */
  method: string;
  at: Date;
  session: string;
  /** The client's port, as `socket.localPort` has it. */
  clientPort: number;
  /** The `imap` process that serves it. */
  pid: number;
  isTls: boolean;
};

export type AuthFailure = { user: string; at: Date; reason: string };

/** What the log has told so far. */
export type DovecotLog = {
  add(chunk: string): void;
  text(): string;
  logins: Login[];
  failures: AuthFailure[];
  /** Logins that have not ended. */
  open(): Login[];
  /** Resolves once this session is over. */
  ended(session: string): Promise<void>;
  /** Dovecot was ended: no login goes on. */
  forgetOpen(): void;
  /** Resolves at the first line, from now on or before, that holds `text`. */
  says(text: string): Promise<void>;
};

const LOGIN =
  /imap-login: Info: Login: user=<(.*?)>, method=(\S+), rport=(\d+), mpid=(\d+),( TLS| secured)?.*session=<(.*?)>/;
const FAILURE = /auth: .*?(?:static|passwd-file|oauth2)\((.*?),[^)]*\): (?!unknown user)(.*)/;
const END = /imap\(.*?\)<\d+><(.*?)>: Info: (?:Disconnected|Logged out|Server shutting down)/;

export function readDovecotLog(): DovecotLog {
  const lines: string[] = [];
  const logins: Login[] = [];
  const failures: AuthFailure[] = [];
  const open = new Map<string, Login>();
  /** Ended before their login was told of: two processes write the two lines. */
  const over = new Set<string>();
  const endings = new Map<string, PromiseWithResolvers<void>>();
  const awaited = new Set<{ text: string; resolve: () => void }>();
  let rest = '';

  function close(session: string): void {
    if (!open.delete(session)) over.add(session);
    endings.get(session)?.resolve();
    endings.delete(session);
  }

  function read(line: string): void {
    lines.push(line);
    for (const wish of awaited)
      if (line.includes(wish.text)) {
        awaited.delete(wish);
        wish.resolve();
      }
    const login = LOGIN.exec(line);
    if (login !== null) {
      const [, user = '', method = '', port, pid, secured, session = ''] = login;
      const entry: Login = {
        ...{ user, method, session, at: new Date() },
        ...{ clientPort: Number(port), pid: Number(pid), isTls: secured === ' TLS' },
      };
      logins.push(entry);
      if (!over.delete(session)) open.set(session, entry);
      return;
    }
    const end = END.exec(line);
    if (end !== null) close(end[1] ?? '');
    const failure = FAILURE.exec(line);
    if (failure !== null) failures.push({ user: failure[1] ?? '', reason: failure[2] ?? '', at: new Date() });
  }

  return {
    add(chunk) {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) read(line);
    },
    text: () => lines.join('\n'),
    logins,
    failures,
    open: () => [...open.values()],
    async ended(session) {
      if (!open.has(session)) return;
      const ending = endings.get(session) ?? Promise.withResolvers<void>();
      endings.set(session, ending);
      await held(ending.promise);
    },
    forgetOpen() {
      for (const session of [...open.keys()]) close(session);
    },
    says(text) {
      if (lines.some((line) => line.includes(text))) return Promise.resolve();
      return held(new Promise((resolve) => awaited.add({ text, resolve })));
    },
  };
}

/** Keeps the process for what it awaits: the log's pipe does not. */
async function held<T>(awaited: Promise<T>): Promise<T> {
  const timer = setInterval(() => {}, 1_000_000);
  try {
    return await awaited;
  } finally {
    clearInterval(timer);
  }
}
