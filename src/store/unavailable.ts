import { describeError, MailgressError } from '../core/errors.ts';

/** What the driver says when there is no connection, and what the system says when there is no server. */
const CONNECTION_CODES = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/**
 * SQLSTATE classes and codes under which the same statement may succeed later (PostgreSQL, appendix A): connection
 * exceptions, insufficient resources (disk, memory, connections), operator intervention (shutdown, starting up,
 * cancelled), system errors, a standby that has not been promoted yet.
 */
const RETRYABLE_STATES = [/^08/, /^53/, /^57/, /^58/, /^25006$/];

/** Serialization failure and deadlock: the same statement, at once, again. */
const CONFLICT_STATES = /^40(001|P01)$/;

/** Whether the store was out of reach, so that the same call may succeed later. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof MailgressError) return error.code === 'store_unavailable';
  const code = sqlStateOf(error);
  return (
    code !== undefined && (CONNECTION_CODES.has(code) || RETRYABLE_STATES.some((state) => state.test(code)))
  );
}

/** Whether the database knows no such user, password or database name. */
export function isAccessRefused(error: unknown): boolean {
  return /^(28|3D)/.test(sqlStateOf(error) ?? '');
}

/** Whether two statements got in each other's way, so that this one may be tried again at once. */
export function isConflict(error: unknown): boolean {
  return CONFLICT_STATES.test(sqlStateOf(error) ?? '');
}

/**
 * Whether the database refuses this very row and would again: bad data, a broken constraint, a limit of a row or index.
 * Everything else (a missing column, a right not given) is our fault and no row's.
 */
export function isRowRefused(error: unknown): boolean {
  return /^(22|23|54)/.test(sqlStateOf(error) ?? '');
}

/** Whether a unique key refused a row. */
export function isUniqueViolation(error: unknown): boolean {
  return sqlStateOf(error) === '23505';
}

/** Whether a row named another that does not exist. */
export function isForeignKeyViolation(error: unknown): boolean {
  return sqlStateOf(error) === '23503';
}

export function storeUnavailable(cause: unknown): MailgressError {
  return new MailgressError(
    'store_unavailable',
    'The database is out of reach; nothing was lost, send it again',
    {
      retryable: true,
      cause,
    },
  );
}

/** One line for a log. Of bad data and broken constraints only what was broken: the sentence may quote the data. */
export function describeStoreError(error: unknown): string {
  const code = sqlStateOf(error);
  if (code === undefined) return describeError(error);
  if (!isRowRefused(error)) return `${code}: ${describeError(error)}`;
  const named = error instanceof Error && 'constraint_name' in error ? ` (${error.constraint_name})` : '';
  return `${code}${named}`;
}

/** The SQLSTATE, or the driver's or system's code. */
export function sqlStateOf(error: unknown): string | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 5; depth++) {
    if ('code' in current && typeof current.code === 'string') return current.code;
    // Several addresses of one host, all refused: an AggregateError whose parts have the code.
    if (current instanceof AggregateError && current.errors.length > 0) current = current.errors[0];
    else current = current.cause;
  }
  return undefined;
}
