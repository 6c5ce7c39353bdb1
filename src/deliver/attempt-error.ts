import { describeError, MailgressError } from '../core/errors.ts';
import { errors } from './undici.ts';

/**
 * Why no status arrived. `timeout`: not within the deadline. `dns`: the name has no address. `egress_blocked`:
 * it may not be called. `connection`: refused, unreachable, or broken before the answer. `tls`: no trusted
 * connection. `protocol`: what answered does not speak HTTP/1.1 within our limits. `invalid_request`: never
 * sent, for a header that HTTP does not allow.
 */
export type AttemptErrorCode =
  | 'timeout'
  | 'dns'
  | 'egress_blocked'
  | 'connection'
  | 'tls'
  | 'protocol'
  | 'invalid_request';

export type AttemptError = { code: AttemptErrorCode; message: string };

/** Certificates and peers put text of their own into error messages. */
const MAX_MESSAGE_LENGTH = 300;

/** What an attempt failed with, from whatever undici, node or the egress guard gave up with. */
export function classifyError(error: unknown): AttemptError {
  const message = describeError(error).replaceAll('\0', '').slice(0, MAX_MESSAGE_LENGTH).toWellFormed();
  return { code: codeOf(error, message), message };
}

function codeOf(error: unknown, message: string): AttemptErrorCode {
  if (error instanceof MailgressError && error.code === 'egress_blocked') return 'egress_blocked';
  const { code = '', syscall } = nodeErrorOf(error);
  if (syscall === 'getaddrinfo') return 'dns';
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return 'timeout';
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return 'invalid_request';
  if (TLS_CODES.test(code)) return 'tls';
  // By its class: undici 7.30 loses llhttp's code (HPE_...).
  if (error instanceof errors.HTTPParserError || PROTOCOL_CODES.has(code)) return 'protocol';
  // undici has one code for a connection that broke and for an answer it will not read (100, 101).
  if (code === 'UND_ERR_SOCKET' && message.startsWith('bad ')) return 'protocol';
  return 'connection';
}

/**
 * node's TLS errors, OpenSSL's alerts, and OpenSSL's names for what is wrong with a certificate
 * (X509_V_ERR_...).
 */
const TLS_CODES =
  /^ERR_TLS_|^ERR_SSL_|^EPROTO$|CERT|CRL|ISSUER|LEAF_SIGNATURE|^INVALID_|^PATH_LENGTH|HOSTNAME_MISMATCH/;

/** Too large a header block; a body of another length than announced. */
const PROTOCOL_CODES = new Set(['UND_ERR_HEADERS_OVERFLOW', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH']);

function nodeErrorOf(error: unknown): { code?: string | undefined; syscall?: string | undefined } {
  if (!(error instanceof Error)) return {};
  // Where several addresses were tried, node gives an AggregateError with the code of the first.
  const { code, syscall } = error as NodeJS.ErrnoException;
  return { code, syscall };
}
