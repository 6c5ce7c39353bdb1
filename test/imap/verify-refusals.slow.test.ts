import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type CertificateKind, createCertificates } from '../support/imap/certificates.ts';
import { startDovecot } from '../support/imap/dovecot.ts';
import { AUTHENTICATION_FAILED, answerWith, startTlsWithInjection } from '../support/imap/hostile.ts';
import { type ScriptedOptions, startScriptedServer } from '../support/imap/scripted-server.ts';
import { serverOf } from './stage.ts';
import { addNeighbour, assertUnsaid, findClosedPort, refuseSource, startTroubledStage } from './trouble.ts';

const PASSWORD = 'secret-Of-This-Test-7';

const dovecot = await startDovecot();
after(() => dovecot.stop());
const directory = await mkdtemp(join(tmpdir(), 'mailgress-certificates-'));
after(() => rm(directory, { recursive: true }));

/** Of each kind one server's certificate, of an authority that is trusted; `unknown`: of one that is not. */
async function certify(kind: CertificateKind) {
  const own = await mkdtemp(join(directory, `${kind}-`));
  const { ca, certPath, keyPath } = await createCertificates(own, kind);
  return { ca, cert: await readFile(certPath, 'utf8'), key: await readFile(keyPath, 'utf8') };
}
const [good, wrongName, expired, selfSigned, unknown] = await Promise.all([
  certify('localhost'),
  certify('wrong-name'),
  certify('expired'),
  certify('self-signed'),
  certify('localhost'),
]);

const stage = await startTroubledStage({
  imapCa: [dovecot.ca, good.ca, wrongName.ca, expired.ca].join('\n'),
});
after(() => stage[Symbol.asyncDispose]());
const neighbour = await addNeighbour(stage, dovecot);
after(() => neighbour.proxy.close());

type Case = {
  name: string;
  status: number;
  code: string;
  says: RegExp;
  /** What the source is asked for with, over the usual. */
  asked: () => Promise<Record<string, unknown>>;
};

/** A server of the script, in clear text unless told. */
function scripted(options: ScriptedOptions, over: Record<string, unknown> = {}) {
  return async () => {
    const server = await startScriptedServer(options);
    after(() => server.stop());
    return { host: 'localhost', port: server.port, security: 'none', ...over };
  };
}

const withStartTls = (tls: { key: string; cert: string }, handlers: ScriptedOptions['handlers'] = {}) =>
  scripted({ tls, handlers }, { security: 'starttls' });
const ofDovecot = (over: Record<string, unknown>) => async () => ({ ...serverOf(dovecot, ''), ...over });
const unreachable = { status: 503, code: 'provider_unavailable' };
const bad = { status: 400, code: 'bad_request' };
const refused = { status: 400, code: 'credentials_refused' };

const CASES: Case[] = [
  {
    name: 'a host that DNS does not know',
    ...unreachable,
    says: /nowhere\.invalid.*(DNS|looked up)/,
    asked: async () => ({ host: 'nowhere.invalid' }),
  },
  {
    name: 'the same in clear text',
    ...unreachable,
    says: /nowhere\.invalid.*(DNS|looked up)/,
    asked: async () => ({ host: 'nowhere.invalid', security: 'none' }),
  },
  {
    name: 'a port where nobody listens',
    ...unreachable,
    says: /nothing listens there: check host and port/,
    asked: async () => ({ host: 'localhost', port: await findClosedPort(), security: 'none' }),
  },
  {
    name: 'a port that takes the connection and stays silent',
    ...unreachable,
    says: /sends no IMAP greeting/,
    asked: scripted({ greeting: null }),
  },
  {
    name: 'a port that takes the connection and stays silent, under TLS',
    ...unreachable,
    says: /no connection in time|not answered/,
    asked: scripted({ greeting: null }, { security: 'tls' }),
  },
  {
    name: 'a port of HTTP',
    ...unreachable,
    says: /sends no IMAP greeting/,
    asked: async () => ({
      host: 'localhost',
      port: Number(new URL(stage.service.address).port),
      security: 'none',
    }),
  },
  {
    name: 'TLS spoken to a plain port',
    ...bad,
    says: /No secure connection to .*does not speak TLS: 993 does/,
    asked: ofDovecot({ security: 'tls' }),
  },
  {
    name: 'TLS spoken to a port of HTTP',
    ...bad,
    says: /does not speak TLS|TLS fails/,
    asked: async () => ({
      host: 'localhost',
      port: Number(new URL(stage.service.address).port),
      security: 'tls',
    }),
  },
  {
    name: 'clear text spoken to a TLS port',
    ...unreachable,
    says: /sends no IMAP greeting|closed the connection|no IMAP/,
    asked: ofDovecot({ port: dovecot.tlsPort }),
  },
  {
    name: 'a certificate of another name',
    ...bad,
    says: /is for another name/,
    asked: withStartTls(wrongName),
  },
  { name: 'a certificate that is over', ...bad, says: /has expired/, asked: withStartTls(expired) },
  { name: 'a certificate of its own', ...bad, says: /signed by nobody/, asked: withStartTls(selfSigned) },
  { name: 'an unknown authority', ...bad, says: /that we trust/, asked: withStartTls(unknown) },
  {
    name: 'a server without STARTTLS',
    ...bad,
    says: /no STARTTLS, and without it no password is sent/,
    asked: scripted({}, { security: 'starttls' }),
  },
  {
    name: 'a server that refuses STARTTLS',
    ...bad,
    says: /No secure connection/,
    asked: withStartTls(good, { STARTTLS: answerWith('NO not today') }),
  },
  {
    name: 'words in clear text between STARTTLS and TLS',
    ...bad,
    says: /wrote into the connection before it was encrypted/,
    asked: withStartTls(good, { STARTTLS: startTlsWithInjection(['* CAPABILITY IMAP4rev1 EVIL']) }),
  },
  {
    name: 'a wrong password',
    ...refused,
    says: /refused the user or the password.*check user and password/,
    asked: ofDovecot({}),
  },
  {
    name: 'a server that quotes the password in its refusal',
    ...refused,
    says: /\*\*\*/,
    asked: scripted({ handlers: { AUTHENTICATE: answerWith(`${AUTHENTICATION_FAILED} not ${PASSWORD}`) } }),
  },
  {
    name: 'a server that has no login for passwords',
    ...refused,
    says: /takes no password here/,
    asked: scripted({ capability: 'IMAP4rev1 LOGINDISABLED' }),
  },
  {
    name: 'a greeting of BYE',
    ...unreachable,
    says: /closed the connection: "in maintenance"/,
    asked: scripted({ greeting: '* BYE in maintenance' }),
  },
  {
    name: 'a greeting of BYE to one connection too many',
    ...unreachable,
    says: /wants fewer connections.*Too many/,
    asked: scripted({ greeting: '* BYE Too many simultaneous connections' }),
  },
  {
    name: 'a login over the limit',
    ...unreachable,
    says: /\[LIMIT\]/,
    asked: scripted({ handlers: { AUTHENTICATE: answerWith('NO [LIMIT] Later') } }),
  },
  {
    name: 'a greeting of garbage',
    ...unreachable,
    says: /no IMAP greeting/,
    asked: scripted({ greeting: '\x16\x03\x01 \x00\xff({[' }),
  },
  {
    name: 'a login without an answer',
    ...unreachable,
    says: /not answered|fallen silent/,
    asked: scripted({ handlers: { AUTHENTICATE: () => undefined } }),
  },
  {
    name: 'a LIST that is refused',
    ...bad,
    says: /LIST with NO|no folder/,
    asked: scripted({ handlers: { LIST: answerWith('NO out of order') } }),
  },
  {
    name: 'an account without a folder',
    ...bad,
    says: /it has none/,
    asked: scripted({ handlers: { LIST: answerWith('OK nothing') } }),
  },
  {
    name: 'a folder that is not there, told with those that are',
    ...bad,
    says: /No such folder: .*no folder "Invoices"; it has INBOX/,
    asked: scripted({}, { folders: [{ path: 'INBOX' }, { path: 'Invoices' }] }),
  },
  {
    name: 'a role that no folder has',
    ...bad,
    says: /no folder for archive; it has INBOX/,
    asked: scripted({}, { folders: [{ role: 'archive' }] }),
  },
];

describe('a source is refused with the reason, soon, and nothing of it is kept', { concurrency: 4 }, () => {
  for (const [at, { name, status, code, says, asked }] of CASES.entries())
    test(name, async () => {
      const user = `refused-${at}@example.com`;
      const auth = { type: 'password', user, password: PASSWORD };
      const source = { ...(await asked()), auth };
      const { problem, tookMs } = await refuseSource(stage, user, source, { status, code });
      assert.match(problem.detail, says);
      assert.ok(problem.detail.length < 600, problem.detail);
      assert.ok(tookMs < 20_000, `took ${tookMs} ms`);
      assertUnsaid(PASSWORD, user, problem, stage.lines);
    });
});

test('with the timeouts of life, a port that stays silent is told in time too', async () => {
  await using silent = await startScriptedServer({ greeting: null });
  await using unhurried = await startTroubledStage({ imapTimeouts: {} });
  const auth = { type: 'password', user: 'u', password: PASSWORD };
  const source = { host: 'localhost', port: silent.port, security: 'tls', auth };
  const { tookMs } = await refuseSource(unhurried, 'slow@example.com', source, unreachable);
  assert.ok(tookMs < 30_000, `took ${tookMs} ms`);
});

test('a server that says a little for ever does not hold the answer up', async () => {
  const trickle = createServer((socket) => {
    socket.on('error', () => {});
    const timer = setInterval(() => socket.write('* OK x\r\n'), 100);
    socket.on('close', () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => trickle.listen(0, '127.0.0.1', resolve));
  const address = trickle.address();
  assert.ok(address !== null && typeof address === 'object');
  const auth = { type: 'password', user: 'u', password: PASSWORD };
  const source = { host: 'localhost', port: address.port, security: 'none', auth };
  const { tookMs } = await refuseSource(stage, 'trickle@example.com', source, unreachable);
  assert.ok(tookMs < 30_000, `took ${tookMs} ms`);
  trickle.close();
});

test('all the while the other mailbox goes on', () => neighbour.assertUntouched());
