import type { SourceFault } from '../../core/source-retry.ts';
import { cleanServerText } from './server-text.ts';

/** `needs_reauth`: a person has to consent again. The server never says that; who asks for tokens does. */
export type ImapFault = SourceFault | 'needs_reauth';

/** Whatever the server says: an account is not left for longer without being asked. */
const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

/** Holds no secret and nothing of mail: its message may be shown and logged. */
export class ImapError extends Error {
  readonly fault: ImapFault;
  /** What the server asked for, in ms from now, a day at most; undefined if it named no time. */
  readonly retryAfterMs: number | undefined;
  /** The command that the server answered with NO or BAD, in capitals and without UID; undefined if it answered none so. */
  readonly refused: string | undefined;

  constructor(
    fault: ImapFault,
    message: string,
    {
      retryAfterMs,
      refused,
      cause,
    }: { retryAfterMs?: number | undefined; refused?: string | undefined; cause?: unknown } = {},
  ) {
    // It is kept as text, which may not hold U+0000 in PostgreSQL.
    super(message.replaceAll(/\p{Cc}/gu, ' '), cause === undefined ? undefined : { cause });
    this.name = 'ImapError';
    this.fault = fault;
    this.refused = refused;
    this.retryAfterMs = retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS);
  }
}

export type ErrorContext = {
  /** `connect` and `login` are one call of imapflow: either will do for both. */
  phase: 'connect' | 'login' | 'session';
  host: string;
  isOauth: boolean;
  /** What a person can do about a refused login, as the provider's preset has it. */
  advice?: string | undefined;
  /** Passwords and tokens: cut out of what the server says, as they are and in base64. */
  secrets?: readonly string[] | undefined;
};

/**
 * What an error of imapflow, of a socket, of TLS or of DNS means for what is to be done.
 *
 * What is told by an `error` event comes before what a command is rejected with: of a line too long the command learns
 * no more than that the connection is gone. An `ImapError` is answered as it is. What is none of all that is a fault of
 * ours, `internal`, with the error as cause; leases that were lost and a store that is away are for the caller to sort
 * out first.
 */
export function toImapError(error: unknown, context: ErrorContext): ImapError {
  if (error instanceof ImapError) return error;
  const facts = factsOf(error, context);
  return (
    errorOfAnswer(facts, context) ??
    errorOfLogin(facts, context) ??
    errorOfConnection(facts, context) ??
    new ImapError('internal', 'a fault of ours, not of the server: the log has it', { cause: error })
  );
}

/** An error as far as it is looked at. The empty string: it has no such thing. */
type Facts = {
  /** imapflow's, Node's or OpenSSL's. */
  code: string;
  message: string;
  /** The tagged answer, `NO` or `BAD`. */
  status: string;
  /** Its response code (RFC 9051, 7.1; RFC 5530), in capitals. */
  responseCode: string;
  /** What the server says, in its answer or its BYE; cut, and without secrets. */
  said: string;
  command: string;
  isBye: boolean;
  isTls: boolean;
  isLoginRefused: boolean;
  retryAfterMs: number | undefined;
};

function factsOf(error: unknown, context: ErrorContext): Facts {
  // The cast holds: every property is read as unknown.
  const found = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;
  const text = (key: string) => (typeof found[key] === 'string' ? found[key] : '');
  const numberOf = (key: string) => (typeof found[key] === 'number' ? found[key] : 0);
  const code = text('code');
  const isOpenSsl = text('library') === 'SSL routines';
  // OpenSSL's and Node's errors of TLS have a reason too; imapflow's is what the BYE said.
  const bye = isOpenSsl || TLS_CODE.test(code) ? '' : text('reason');
  const answer = text('responseText') || text('response').replace(TAG_AND_CODE, '');
  const resetMs = numberOf('throttleReset');
  return {
    code,
    message: text('message'),
    status: text('responseStatus'),
    responseCode: text('serverResponseCode') || findResponseCode(found.response),
    said: cleanServerText(answer || (bye === NOTHING_SAID ? '' : bye), context.secrets ?? []),
    command: /^\S+ (?:UID )?(\S+)/i.exec(text('executedCommand'))?.[1]?.toUpperCase() ?? '',
    isBye: bye !== '',
    isTls: isOpenSsl || found.tlsFailed === true || TLS_CODE.test(code),
    isLoginRefused: found.authenticationFailed === true,
    // imapflow has waited for some of it already, half a minute or so, before it rejects.
    retryAfterMs: resetMs > 0 ? Math.max(0, resetMs - numberOf('throttleWaited')) : undefined,
  };
}

/** Of an answer without text, as imapflow puts it together again: `7 NO [LIMIT]`. */
const TAG_AND_CODE = /^\S+ (?:NO|BAD|BYE)\b(?: \[[^\]]*\])? */;

/** imapflow's own words for a BYE without any. */
const NOTHING_SAID = 'Server closed connection';

/** FETCH leaves the parsed answer in place where the other commands have its text; of it the code is read here. */
function findResponseCode(response: unknown): string {
  // The cast holds: every level is optional, and the value is looked at.
  const parsed = response as { attributes?: { section?: { value?: unknown }[] }[] } | null | undefined;
  const value = typeof parsed === 'object' ? parsed?.attributes?.[0]?.section?.[0]?.value : undefined;
  return typeof value === 'string' ? value.toUpperCase() : '';
}

const QUOTA_CODES = new Set(['OVERQUOTA']);
const QUOTA_WORDS = /exceeded command or bandwidth|(bandwidth|download) (limit|quota)/i;

const THROTTLE_CODES = new Set(['LIMIT', 'UNAVAILABLE', 'INUSE', 'THROTTLED']);
/** Gmail, Outlook and Exchange, Dovecot, Yahoo, Courier. */
const THROTTLE_WORDS =
  /too (many|frequent)|simultaneous connections|maximum number of connections|(connections?|rate|session) limit|throttl|server (is )?(too )?busy|authenticated but not connected/i;
/**
 * Refuses a login for now. Not looked for in a BYE: Gmail ends sessions with "Temporary System Error" as a matter of
 * course, and takes the next login at once.
 */
const FOR_NOW_WORDS = /temporar|try (again )?later|system error|server error|unavailable/i;

/** What servers say who do not know RFC 5530. */
const TLS_WANTED_WORDS = /must issue a STARTTLS|STARTTLS (command )?first/i;

/** A folder that is gone, locked to us or broken. Others can go on. */
const FOLDER_CODES = new Set(['NONEXISTENT', 'NOPERM', 'CANNOT', 'CORRUPTION', 'NOTFOUND', 'TRYCREATE']);
const FOLDER_COMMANDS = new Set(['SELECT', 'EXAMINE', 'STATUS']);

/**
 * The server has answered, or said why it hangs up. Limits come first: imapflow calls each refused login a failed
 * authentication, and an account must not be disabled because it had too many connections.
 */
function errorOfAnswer(facts: Facts, context: ErrorContext): ImapError | undefined {
  const { status, responseCode, said, code, command, isBye, retryAfterMs } = facts;
  const { host } = context;
  const refused = status === '' ? undefined : command;
  if (QUOTA_CODES.has(responseCode) || QUOTA_WORDS.test(said)) {
    const reason = `${host} says that what may be fetched is used up for now${quoted(facts)}`;
    return new ImapError('quota', reason, { refused });
  }
  if (responseCode === 'PRIVACYREQUIRED' || TLS_WANTED_WORDS.test(said)) {
    return new ImapError('tls', `${host} takes a login over TLS alone${quoted(facts)}: set security to tls`);
  }
  const isLimit =
    code === 'ETHROTTLE' ||
    THROTTLE_CODES.has(responseCode) ||
    THROTTLE_WORDS.test(said) ||
    (isRefusal(facts, context) && !AUTH_CODES.has(responseCode) && FOR_NOW_WORDS.test(said));
  if (isLimit) {
    const reason = `${host} wants fewer connections or requests for now${quoted(facts)}`;
    return new ImapError('throttle', reason, { retryAfterMs, refused });
  }
  if (isBye) return new ImapError('network', `${host} closed the connection${quoted(facts)}`);
  if (isRefusal(facts, context) || status === '') return undefined;
  if (status === 'NO' && (FOLDER_CODES.has(responseCode) || FOLDER_COMMANDS.has(command))) {
    const reason = `${host} does not open a folder${quoted(facts)}; it is tried again later`;
    return new ImapError('folder', reason, { refused });
  }
  const asked = command === '' ? 'a command' : command;
  return new ImapError('protocol', `${host} answers ${asked} with ${status}${quoted(facts)}`, { refused });
}

const AUTH_CODES = new Set(['AUTHENTICATIONFAILED', 'AUTHORIZATIONFAILED', 'EXPIRED']);

/** A NO to who we are. A BAD is no word about that: the command was not understood. */
function isRefusal(
  { status, responseCode, command, isLoginRefused }: Facts,
  { phase }: ErrorContext,
): boolean {
  if (AUTH_CODES.has(responseCode)) return true;
  if (status !== 'NO' || responseCode === 'SERVERBUG') return false;
  return isLoginRefused || phase === 'login' || command === 'LOGIN' || command === 'AUTHENTICATE';
}

/** What imapflow throws without having asked the server; these have no code. */
const NO_PASSWORDS = 'Login is disabled';
const NO_MECHANISM = 'Unsupported authentication mechanism';

/** The server was asked for a login, or it offers none. */
function errorOfLogin(facts: Facts, context: ErrorContext): ImapError | undefined {
  const { message, code } = facts;
  const { host, isOauth, advice, phase } = context;
  const hint = advice === undefined ? '' : `; ${advice}`;
  if (isRefusal(facts, context)) {
    const what = isOauth ? 'the access token' : 'the user or the password';
    return new ImapError('auth', `${host} refused ${what}${quoted(facts)}${hint}`);
  }
  if (message === NO_PASSWORDS || message === NO_MECHANISM) {
    const reason = isOauth
      ? 'the server takes no OAuth tokens here'
      : 'the server takes no password here, or none without TLS';
    return new ImapError('auth', `${host}: ${reason}${hint}`);
  }
  if (code === 'InvalidStringValue' && phase !== 'session') {
    return new ImapError(
      'auth',
      `${host}: the user, password or token holds characters that IMAP cannot carry`,
    );
  }
  return undefined;
}

/** Codes of node:tls and of OpenSSL's verification, https://nodejs.org/api/tls.html#x509-certificate-error-codes. */
const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|ERROR_IN_C|INVALID_CA$|INVALID_PURPOSE$|PATH_LENGTH_|HOSTNAME_MISMATCH$|(DEPTH_ZERO_)?SELF_SIGNED_CERT)/;

const TLS_REASONS: readonly (readonly [RegExp, string])[] = [
  [/SELF_SIGNED/, 'its certificate is signed by nobody that we trust'],
  [
    /UNABLE_TO_|INVALID_CA|CERT_UNTRUSTED/,
    'its certificate leads to no authority that we trust: it may lack the ones between',
  ],
  [
    /ALTNAME_INVALID|HOSTNAME_MISMATCH/,
    'its certificate is for another name: use the host that the certificate names',
  ],
  [/CERT_HAS_EXPIRED/, 'its certificate has expired'],
  [/CERT_NOT_YET_VALID/, 'its certificate is not valid yet: check the clocks'],
  [/STARTTLS_INJECTION/, 'something wrote into the connection before it was encrypted'],
  [
    /WRONG_VERSION_NUMBER|PACKET_LENGTH|^EPROTO$/,
    'this port does not speak TLS: 993 does as a rule, 143 with security starttls',
  ],
  [/PROTOCOL/, 'it speaks no TLS of version 1.2 or later'],
];

/** The connection did not come about, or ended, without an answer. */
const NETWORK_REASONS: readonly (readonly [RegExp, string])[] = [
  [/^ECONNREFUSED$/, 'nothing listens there: check host and port'],
  [/^ENOTFOUND$/, 'DNS knows no such host: check the name'],
  [/^(EAI_AGAIN|EAI_FAIL|ESERVFAIL|EREFUSED)$/, 'DNS does not answer for now'],
  [/^(CONNECT_TIMEOUT|ETIMEDOUT|ECONNABORTED)$/, 'no connection in time: check host, port and firewalls'],
  [/^GREETING_TIMEOUT$/, 'it sends no IMAP greeting: check the port, and that security fits it'],
  [/^UPGRADE_TIMEOUT$/, 'it begins STARTTLS and falls silent'],
  [/^ETIMEOUT$/, 'it has fallen silent'],
  [
    /^(ENETUNREACH|EHOSTUNREACH|ENETDOWN|EHOSTDOWN|EADDRNOTAVAIL|EPROXY|ProxyError)$/,
    'no way leads there for now',
  ],
  [/^(ECONNRESET|EPIPE)$/, 'the connection was broken off'],
  [
    /^(NoConnection|EConnectionClosed|StateLogout|ClosedAfterConnect(Text|TLS)|ERR_STREAM_(DESTROYED|WRITE_AFTER_END|PREMATURE_CLOSE)|ERR_SOCKET_CLOSED)$/,
    'it closed the connection',
  ],
];

/** imapflow calls it so when the connection ended between greeting and login. It has nothing to do with the password. */
const GONE_BEFORE_LOGIN = /^(Already logged out|No matching authentication method)$/;

const PROTOCOL_CODE =
  /^(ParserError|(Line|Literal|Response)TooLarge$|TooMany(Tokens|Responses)$|MAX_IMAP_NESTING|(UnexpectedTag|MissingTag|InvalidResponse|ResponseProcessingFailed|COMPRESS_TRAILING_DATA|PollFailed|LockTimeout|NoMailboxSelected)$|Z_)/;

function errorOfConnection(facts: Facts, { host, phase }: ErrorContext): ImapError | undefined {
  const { code, message, isTls } = facts;
  const about = phase === 'session' ? `${host} is lost` : `${host} cannot be reached`;
  // A handshake can also be broken off by a server that restarts: then it is no matter of TLS.
  const network = NETWORK_REASONS.find(([pattern]) => pattern.test(code))?.[1];
  if (network !== undefined) return new ImapError('network', `${about}: ${network}`);
  if (isTls) {
    const fallback =
      code === '' ? 'it offers no STARTTLS, and without it no password is sent' : `TLS fails (${code})`;
    const reason = TLS_REASONS.find(([pattern]) => pattern.test(code))?.[1] ?? fallback;
    return new ImapError('tls', `no secure connection to ${host}: ${reason}`);
  }
  if (GONE_BEFORE_LOGIN.test(message)) {
    return new ImapError('network', `${about}: it closed the connection before the login`);
  }
  if (code === 'NotFound') return new ImapError('folder', `${host} does not have a folder any more`);
  if (PROTOCOL_CODE.test(code)) {
    return new ImapError('protocol', `${host} sent what is no IMAP, or too much of it (${code})`);
  }
  return undefined;
}

function quoted({ responseCode, said }: Facts): string {
  const code = /^[A-Z0-9=-]{1,40}$/.test(responseCode) ? `[${responseCode}]` : '';
  const words = [code, said].filter((part) => part !== '').join(' ');
  return words === '' ? '' : `: "${words}"`;
}
