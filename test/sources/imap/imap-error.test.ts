import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorContext, ImapError, toImapError } from '../../../src/sources/imap/imap-error.ts';

/*
 * Errors in the shapes that imapflow 2.10 and Node 24 give them; `imap-error-live.test.ts` holds the shapes against the
 * real thing. What servers say is quoted from bug reports and from their documentation.
 */

const HOST = 'imap.example.com';
const LOGIN: ErrorContext = { phase: 'login', host: HOST, isOauth: false, advice: 'use an app password' };
const OAUTH: ErrorContext = { ...LOGIN, isOauth: true };
const CONNECT: ErrorContext = { ...LOGIN, phase: 'connect' };
const SESSION: ErrorContext = { ...LOGIN, phase: 'session' };

const errorWith = (facts: object, message = 'Command failed') => Object.assign(new Error(message), facts);

/** A tagged NO or BAD, as the command modules enrich it. */
function answer(command: string, line: string): Error {
  const [, status = '', code, text = ''] = /^(NO|BAD)(?: \[([^\]]*)\])?(?: (.*))?$/.exec(line) ?? [];
  const isLogin = command === 'LOGIN' || command === 'AUTHENTICATE';
  return errorWith({
    response: `2 ${line}`,
    responseStatus: status,
    executedCommand: `2 ${command}`,
    ...(text !== '' && { responseText: text }),
    ...(code !== undefined && { serverResponseCode: code.split(' ')[0] }),
    ...(isLogin && { authenticationFailed: true }),
  });
}
const login = (line: string) => answer('AUTHENTICATE', line);
const bye = (reason: string, code = 'NoConnection') =>
  errorWith({ code, reason }, 'Connection not available');
const coded = (code: string, message = code) => errorWith({ code }, message);

type Case = [error: unknown, context: ErrorContext, fault: string, says?: RegExp];

const THROTTLES: Case[] = [
  [
    login('NO [LIMIT] AUTHENTICATE Rate limit hit.'),
    LOGIN,
    'throttle',
    /imap\.example\.com.*\[LIMIT\] AUTHENTICATE Rate/,
  ],
  [login('NO [LIMIT]'), LOGIN, 'throttle', /: "\[LIMIT\]"$/],
  [login('NO [UNAVAILABLE] LOGIN Service is temporarily not available'), LOGIN, 'throttle'],
  [login('NO [INUSE] Too many sessions'), LOGIN, 'throttle'],
  [login('NO [THROTTLED] slow down'), LOGIN, 'throttle'],
  [login('NO [ALERT] Too many simultaneous connections. (Failure)'), LOGIN, 'throttle'],
  [login('NO [ALERT] Too many simultaneous connections. (Failure)'), OAUTH, 'throttle'],
  [login('NO [AUTHENTICATIONFAILED] Too many login attempts'), LOGIN, 'throttle'],
  [
    login('NO Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)'),
    LOGIN,
    'throttle',
  ],
  [login('NO Server Busy. Please try again later.'), LOGIN, 'throttle'],
  [login('NO LOGIN failed: temporary failure'), LOGIN, 'throttle'],
  [login('NO Server Unavailable. 15'), OAUTH, 'throttle'],
  [login('NO System Error (Failure)'), OAUTH, 'throttle'],
  [
    errorWith(
      { authenticationFailed: true, response: 'User is authenticated but not connected.' },
      'Authentication failed',
    ),
    OAUTH,
    'throttle',
    /authenticated but not connected/,
  ],
  [answer('SELECT', 'BAD User is authenticated but not connected.'), SESSION, 'throttle'],
  [
    answer('UID FETCH', 'NO [UNAVAILABLE] UID FETCH Service is temporarily not available'),
    SESSION,
    'throttle',
  ],
  [bye('Too many connections', 'ClosedAfterConnectTLS'), CONNECT, 'throttle', /Too many connections/],
  [bye('Server Busy', 'ClosedAfterConnectText'), CONNECT, 'throttle'],
  [bye('Session terminated: connection limit reached'), SESSION, 'throttle'],
];

const QUOTAS: Case[] = [
  [
    login('NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)'),
    OAUTH,
    'quota',
    /used up/,
  ],
  [login('NO [ALERT] Account exceeded command or bandwidth limits.'), OAUTH, 'quota'],
  [bye('Account exceeded command or bandwidth limits.'), SESSION, 'quota'],
  [
    // FETCH leaves the parsed answer as it is.
    errorWith({
      response: {
        tag: '8',
        command: 'NO',
        attributes: [{ section: [{ type: 'ATOM', value: 'OverQuota' }] }],
      },
      responseStatus: 'NO',
      executedCommand: '8 UID FETCH 1:* UID',
      responseText: 'Sorry',
    }),
    SESSION,
    'quota',
    /\[OVERQUOTA\] Sorry/,
  ],
];

const REFUSALS: Case[] = [
  [
    login('NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)'),
    LOGIN,
    'auth',
    /user or the password.*; use an app password$/,
  ],
  [login('NO [AUTHENTICATIONFAILED] Temporarily wrong'), LOGIN, 'auth'],
  [login('NO [AUTHORIZATIONFAILED] not yours'), LOGIN, 'auth'],
  [login('NO [EXPIRED] password expired'), LOGIN, 'auth'],
  [
    login(
      'NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)',
    ),
    LOGIN,
    'auth',
    /Application-specific/,
  ],
  [
    login('NO [WEBALERT https://accounts.google.com/x] Web login required.'),
    LOGIN,
    'auth',
    /Web login required/,
  ],
  [login('NO AUTHENTICATE failed.'), LOGIN, 'auth'],
  [login('NO'), LOGIN, 'auth', /^imap\.example\.com refused the user or the password; use/],
  [answer('LOGIN', 'NO [AUTHENTICATIONFAILED] Authentication failed.'), CONNECT, 'auth'],
  [login('NO AUTHENTICATE failed.'), OAUTH, 'auth', /refused the access token/],
  [
    login('NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)'),
    { ...OAUTH, advice: undefined },
    'auth',
    /\(Failure\)"$/,
  ],
  [answer('NOOP', 'NO [EXPIRED] token'), { ...OAUTH, phase: 'session' }, 'auth'],
  [errorWith({ authenticationFailed: true }, 'Login is disabled'), LOGIN, 'auth', /takes no password here/],
  [new Error('Unsupported authentication mechanism'), LOGIN, 'auth', /takes no password here/],
  [new Error('Unsupported authentication mechanism'), OAUTH, 'auth', /takes no OAuth tokens/],
  [
    coded('InvalidStringValue', 'The access token contains control characters'),
    OAUTH,
    'auth',
    /cannot carry/,
  ],
];

const NETWORKS: Case[] = [
  ...[
    ...[
      'ECONNREFUSED',
      'ENOTFOUND',
      'EAI_AGAIN',
      'ETIMEDOUT',
      'CONNECT_TIMEOUT',
      'GREETING_TIMEOUT',
      'ETIMEOUT',
    ],
    ...['UPGRADE_TIMEOUT', 'NoConnection', 'EConnectionClosed', 'StateLogout', 'ClosedAfterConnectText'],
    ...['ClosedAfterConnectTLS', 'ECONNRESET', 'EPIPE', 'ECONNABORTED', 'EHOSTUNREACH', 'ENETUNREACH'],
    ...['ERR_STREAM_DESTROYED', 'ERR_SOCKET_CLOSED'],
  ].flatMap((code): Case[] => [
    [coded(code), CONNECT, 'network', /^imap\.example\.com cannot be reached: /],
    [coded(code), SESSION, 'network', /^imap\.example\.com is lost: /],
  ]),
  [coded('ENOTFOUND'), CONNECT, 'network', /DNS knows no such host/],
  [coded('GREETING_TIMEOUT'), CONNECT, 'network', /no IMAP greeting: check the port/],
  [bye('Server closed connection', 'ClosedAfterConnectTLS'), CONNECT, 'network', /closed the connection$/],
  [bye('Server shutting down.'), SESSION, 'network', /closed the connection: "Server shutting down\."/],
  [bye('Session expired, please login again.'), SESSION, 'network'],
  [bye('Temporary System Error'), SESSION, 'network'],
  [errorWith({ code: 'ECONNRESET', tlsFailed: true }), CONNECT, 'network'],
  [errorWith({ code: 'UPGRADE_TIMEOUT', tlsFailed: true }), CONNECT, 'network'],
  [errorWith({ authenticationFailed: true }, 'Already logged out'), LOGIN, 'network', /before the login/],
  [errorWith({ authenticationFailed: true }, 'No matching authentication method'), LOGIN, 'network'],
  // Several addresses of one host.
  [
    Object.assign(new AggregateError([coded('ECONNREFUSED')], ''), { code: 'ECONNREFUSED' }),
    CONNECT,
    'network',
  ],
];

const TLS: Case[] = [
  [
    coded('DEPTH_ZERO_SELF_SIGNED_CERT'),
    CONNECT,
    'tls',
    /no secure connection to imap\.example\.com: .*signed by nobody/,
  ],
  [coded('SELF_SIGNED_CERT_IN_CHAIN'), CONNECT, 'tls'],
  [coded('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), CONNECT, 'tls', /no authority/],
  [coded('ERR_TLS_CERT_ALTNAME_INVALID'), CONNECT, 'tls', /another name/],
  [coded('CERT_HAS_EXPIRED'), CONNECT, 'tls', /expired/],
  [coded('CERT_NOT_YET_VALID'), CONNECT, 'tls', /clocks/],
  [coded('EPROTO'), CONNECT, 'tls', /does not speak TLS/],
  [
    errorWith({
      code: 'ERR_SSL_WRONG_VERSION_NUMBER',
      library: 'SSL routines',
      reason: 'wrong version number',
    }),
    CONNECT,
    'tls',
    /143 with security starttls/,
  ],
  [coded('ERR_SSL_UNSUPPORTED_PROTOCOL'), CONNECT, 'tls', /1\.2 or later/],
  [
    coded('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'),
    CONNECT,
    'tls',
    /\(ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE\)/,
  ],
  [errorWith({ tlsFailed: true }, 'Server does not support STARTTLS'), CONNECT, 'tls', /offers no STARTTLS/],
  [errorWith({ code: 'STARTTLS_INJECTION', tlsFailed: true }), CONNECT, 'tls', /wrote into the connection/],
  [login('NO [PRIVACYREQUIRED] Plaintext authentication disallowed'), LOGIN, 'tls', /over TLS alone/],
  [
    errorWith({
      code: 'MissingTag',
      responseStatus: 'BAD',
      responseText: 'Must issue a STARTTLS command first',
    }),
    CONNECT,
    'tls',
  ],
];

const FOLDERS: Case[] = [
  [answer('SELECT', 'NO [NONEXISTENT] No such'), SESSION, 'folder', /\[NONEXISTENT\] No such/],
  [answer('EXAMINE', 'NO [NOPERM] Permission denied'), SESSION, 'folder'],
  [answer('SELECT', 'NO Mailbox cannot be opened'), SESSION, 'folder'],
  [answer('STATUS', 'NO what'), SESSION, 'folder'],
  [answer('UID SEARCH', 'NO [CORRUPTION] index broken'), SESSION, 'folder'],
  [coded('NotFound', "Mailbox doesn't exist: Work"), SESSION, 'folder'],
];

const PROTOCOLS: Case[] = [
  ...[
    ...[
      'ParserError',
      'ParserError9',
      'ParserErrorExchange',
      'LineTooLarge',
      'LiteralTooLarge',
      'ResponseTooLarge',
    ],
    ...[
      'TooManyTokens',
      'TooManyResponses',
      'UnexpectedTag',
      'InvalidResponse',
      'MissingTag',
      'Z_DATA_ERROR',
    ],
    ...['MAX_IMAP_NESTING_REACHED', 'ResponseProcessingFailed', 'COMPRESS_TRAILING_DATA'],
  ].map((code): Case => [coded(code), SESSION, 'protocol', /^imap\.example\.com sent what is no IMAP/]),
  [answer('LIST', 'BAD eh'), SESSION, 'protocol', /answers LIST with BAD: "eh"/],
  [answer('UID FETCH', 'NO cannot'), SESSION, 'protocol', /answers FETCH with NO/],
  [login('BAD Invalid arguments'), LOGIN, 'protocol', /answers AUTHENTICATE with BAD/],
  [login('NO [SERVERBUG] oops'), LOGIN, 'protocol'],
];

const INTERNALS: Case[] = [
  [new TypeError('x is not a function'), SESSION, 'internal', /^a fault of ours/],
  [new Error('boom'), LOGIN, 'internal'],
  [coded('InstanceReused'), CONNECT, 'internal'],
  [coded('EMFILE'), CONNECT, 'internal'],
  [coded('InvalidSequenceSet'), SESSION, 'internal'],
  ['text', SESSION, 'internal'],
  [null, SESSION, 'internal'],
  [undefined, SESSION, 'internal'],
];

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, reason, response } = error as Error & Record<string, unknown>;
  return [code, reason, response].filter((part) => typeof part === 'string').join(' ') || error.message;
}

describe('toImapError', () => {
  for (const [error, context, fault, says] of [
    ...[...THROTTLES, ...QUOTAS, ...REFUSALS, ...NETWORKS, ...TLS, ...FOLDERS, ...PROTOCOLS, ...INTERNALS],
  ])
    test(`${context.phase}${context.isOauth ? ' with OAuth' : ''}: ${nameOf(error)} is ${fault}`, () => {
      const result = toImapError(error, context);
      assert.equal(result.fault, fault, result.message);
      if (says !== undefined) assert.match(result.message, says);
      assert.ok(result.message.length < 500 && /^[\x20-\x7e]+$/.test(result.message), result.message);
    });

  const throttled = (facts: object) =>
    toImapError(errorWith({ code: 'ETHROTTLE', responseStatus: 'BAD', ...facts }), SESSION);

  test('keeps the rest of the time that Microsoft asks for', () => {
    const { fault, retryAfterMs } = throttled({ throttleReset: 92_415, throttleWaited: 30_000 });
    assert.deepEqual({ fault, retryAfterMs }, { fault: 'throttle', retryAfterMs: 62_415 });
    assert.equal(throttled({ throttleReset: 1000, throttleWaited: 1000 }).retryAfterMs, 0);
    assert.equal(throttled({}).retryAfterMs, undefined);
    assert.equal(throttled({ throttleReset: 1e12 }).retryAfterMs, 86_400_000);
  });

  test('shows no secret that a server echoes', () => {
    const error = login('NO LOGIN bob hunter2hunter2 failed\u0000');
    const { message } = toImapError(error, { ...LOGIN, secrets: ['hunter2hunter2'] });
    assert.match(message, /LOGIN bob \*\*\* failed"/);
  });

  test('shows no response code that is none', () => {
    const { message } = toImapError(
      errorWith({ responseStatus: 'NO', serverResponseCode: 'A"\nB' }),
      SESSION,
    );
    assert.doesNotMatch(message, /A"/);
  });

  test('answers an ImapError as it is, and keeps what is ours as the cause', () => {
    const error = new ImapError('needs_reauth', 'consent is gone');
    assert.equal(toImapError(error, SESSION), error);
    const ours = new TypeError('x');
    assert.equal(toImapError(ours, SESSION).cause, ours);
    assert.equal(toImapError(coded('EPIPE'), SESSION).cause, undefined);
  });
});
