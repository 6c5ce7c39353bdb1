import { type ErrorCode, MailgressError } from '../core/errors.ts';
import { describeStoreError, isAccessRefused, isUnavailable } from '../store/unavailable.ts';

/** BSD's sysexits(3), and what shells answer for a command that Ctrl-C ended. */
export const EXIT = {
  usage: 64,
  dataError: 65,
  noInput: 66,
  unavailable: 69,
  software: 70,
  temporary: 75,
  noPermission: 77,
  configuration: 78,
  interrupted: 130,
};

const EXIT_BY_CODE: Partial<Record<ErrorCode, number>> = {
  usage: EXIT.usage,
  no_input: EXIT.noInput,
  bad_request: EXIT.dataError,
  not_found: EXIT.dataError,
  conflict: EXIT.dataError,
  configuration: EXIT.configuration,
  unauthorized: EXIT.configuration,
  forbidden: EXIT.noPermission,
  oauth_not_configured: EXIT.configuration,
  already_running: EXIT.unavailable,
  address_taken: EXIT.unavailable,
  database_behind: EXIT.unavailable,
  embedded_database: EXIT.unavailable,
  service_unavailable: EXIT.unavailable,
  provider_unavailable: EXIT.unavailable,
  store_unavailable: EXIT.temporary,
};

/** Says on standard error what went wrong and what to do. @returns the exit code. */
export function reportError(error: unknown): number {
  if (error instanceof MailgressError) {
    process.stderr.write(`mailgress: ${error.message}\n`);
    return EXIT_BY_CODE[error.code] ?? EXIT.software;
  }
  if (isUnavailable(error)) {
    process.stderr.write(`mailgress: The database is out of reach: ${describeStoreError(error)}\n`);
    return EXIT.unavailable;
  }
  process.stderr.write(`mailgress: ${describeStoreError(error)}\n`);
  return isAccessRefused(error) ? EXIT.configuration : EXIT.software;
}
