import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { ImapFlow, type ImapFlowOptions } from 'imapflow';
import { type ErrorContext, type ImapError, toImapError } from '../../../src/sources/imap/imap-error.ts';

/* imapflow against servers that fail in one way each: the shapes of its errors are not ours to invent. */

type Script = {
  greeting?: string;
  /** What a command is answered with, by its first word; TAG stands for its tag. HANGUP: the socket is destroyed. */
  answers?: Record<string, string>;
};

function talk(socket: Socket, { greeting = '* OK hello', answers = {} }: Script): void {
  socket.on('error', () => {});
  socket.write(`${greeting}\r\n`);
  let rest = '';
  socket.on('data', (data) => {
    const lines = `${rest}${data}`.split('\r\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [tag = '', command = ''] = line.split(' ');
      const answer = answers[command] ?? (command === 'CAPABILITY' ? CAPABILITY : 'TAG OK done');
      if (answer === 'HANGUP') socket.destroy();
      else socket.write(`${answer.replaceAll('TAG', tag)}\r\n`);
    }
  });
}

const CAPABILITY = '* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK done';
const OPENS: Record<string, string> = { LIST: '* LIST () "/" INBOX\r\nTAG OK done' };

async function failWith(
  script: Script,
  options: Partial<ImapFlowOptions>,
  work: (client: ImapFlow) => Promise<unknown>,
): Promise<ImapError> {
  await using server = createServer((socket) => talk(socket, script));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  // The cast holds: it listens on a port.
  const { port } = server.address() as { port: number };
  const client = new ImapFlow({
    ...{ host: '127.0.0.1', port, secure: false, doSTARTTLS: false, logger: false },
    ...{ auth: { user: 'bob', pass: 'hunter2' }, greetingTimeout: 300, ...options },
  });
  let told: unknown;
  client.on('error', (error: unknown) => {
    told = error;
  });
  const context: ErrorContext = { phase: 'connect', host: 'imap.test', isOauth: false, secrets: ['hunter2'] };
  try {
    await client.connect();
    context.phase = 'session';
    await work(client);
    throw new Error('nothing failed');
  } catch (error) {
    return toImapError(told ?? error, context);
  } finally {
    client.close();
  }
}

const select = (client: ImapFlow) => client.mailboxOpen('INBOX');
const auth = (line: string): Script => ({ answers: { AUTHENTICATE: line } });
const capable = (words: string, answers: Record<string, string> = {}): Script => ({
  answers: { CAPABILITY: `* CAPABILITY IMAP4rev1 ${words}\r\nTAG OK done`, ...answers },
});

const CASES: [string, Script, fault: string, says: RegExp, options?: Partial<ImapFlowOptions>][] = [
  ['a BYE as greeting', { greeting: '* BYE [UNAVAILABLE] Too many connections' }, 'throttle', /Too many/],
  ['a BYE without a word', { greeting: '* BYE' }, 'network', /closed the connection$/],
  ['a BYE before the login', { answers: { CAPABILITY: '* BYE Server Busy' } }, 'throttle', /Server Busy/],
  ['a BYE instead of a login', auth('* BYE shutting down'), 'network', /shutting down/],
  ['a hang-up instead of a login', auth('HANGUP'), 'network', /closed/],
  ['a wrong password', auth('TAG NO [AUTHENTICATIONFAILED] not hunter2'), 'auth', /\] not \*\*\*"/],
  ['a refusal without a code', auth('TAG NO failed'), 'auth', /"failed"/],
  ['a limit', auth('TAG NO [LIMIT] Rate limit hit'), 'throttle', /\[LIMIT\]/],
  ['a spent quota', auth('TAG NO [OVERQUOTA] Account exceeded limits'), 'quota', /OVERQUOTA/],
  [
    'a throttled login of Microsoft',
    auth('TAG BAD Request is throttled. Suggested Backoff Time: 20 milliseconds'),
    'throttle',
    /Backoff/,
  ],
  [
    'a mailbox of Microsoft that is not there',
    capable('AUTH=PLAIN NAMESPACE', { NAMESPACE: 'TAG BAD User is authenticated but not connected.' }),
    'throttle',
    /not connected/,
  ],
  ['LOGINDISABLED', capable('LOGINDISABLED'), 'auth', /takes no password/],
  [
    'no mechanism for a token',
    capable('AUTH=PLAIN'),
    'auth',
    /takes no/,
    { auth: { user: 'bob', accessToken: 'token' } },
  ],
  ['no STARTTLS', {}, 'tls', /no STARTTLS/, { doSTARTTLS: true }],
  [
    'a refused STARTTLS',
    capable('STARTTLS', { STARTTLS: 'TAG NO sorry' }),
    'tls',
    /STARTTLS/,
    { doSTARTTLS: true },
  ],
  [
    'words between STARTTLS and TLS',
    capable('STARTTLS', { STARTTLS: 'TAG OK go\r\n* CAPABILITY EVIL' }),
    'tls',
    /wrote into/,
    { doSTARTTLS: true },
  ],
  ['TLS spoken to a plain port', {}, 'tls', /does not speak TLS/, { secure: true }],
  ['a greeting of HTTP', { greeting: 'HTTP/1.1 400 Bad Request' }, 'network', /no IMAP greeting/],
  ['a folder that is gone', { answers: { ...OPENS, SELECT: 'TAG NO [NONEXISTENT] gone' } }, 'folder', /gone/],
  ['a BYE in a session', { answers: { ...OPENS, SELECT: '* BYE Server shutting down.' } }, 'network', /down/],
  ['an unknown answer', { answers: { ...OPENS, SELECT: 'TAG HMM what' } }, 'protocol', /InvalidResponse/],
  ['an answer without sense', { answers: { ...OPENS, SELECT: 'TAG NO [(((' } }, 'protocol', /ParserError/],
  [
    'a line without end',
    { answers: { ...OPENS, SELECT: `* OK ${'x'.repeat(5000)}` } },
    'protocol',
    /LineTooLarge/,
    { maxLineLength: 1000 },
  ],
];
for (const [name, script, fault, says, options = {}] of CASES)
  test(`${name} is ${fault}`, async () => {
    const error = await failWith(script, options, select);
    assert.equal(error.fault, fault, error.message);
    assert.match(error.message, says);
  });

test('a fetch over the quota is quota', async () => {
  const answers = {
    ...OPENS,
    SELECT: '* 1 EXISTS\r\nTAG OK [READ-WRITE] done',
    UID: 'TAG NO [OVERQUOTA] no more today',
  };
  const error = await failWith({ answers }, {}, async (client) => {
    await select(client);
    await client.fetchAll('1:*', { uid: true }, { uid: true });
  });
  assert.equal(error.fault, 'quota', error.message);
});

test('a port where nobody listens is network', async () => {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  // The cast holds: it listens on a port.
  const { port } = server.address() as { port: number };
  server.close();
  const error = await failWith({}, { port }, select);
  assert.equal(error.fault, 'network');
  assert.match(error.message, /nothing listens there/);
});
