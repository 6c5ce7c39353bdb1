const ADVICE: readonly [RegExp, string][] = [
  [/ENOSPC|No space left on device/, 'The disk is full: free some space and start again.'],
  [/EROFS|Read-only file system/, 'The file system is read-only: set MAILGRESS_DATA_DIR to a writable one.'],
  [
    /EACCES|EPERM|Permission denied|wrong ownership|invalid permissions/,
    'Run Mailgress as the user that owns this directory, or set MAILGRESS_DATA_DIR to one of your own.',
  ],
  [/could not look up effective user ID/, 'Add an entry for that user to /etc/passwd, or set DATABASE_URL.'],
  [
    /spawn .* ENOENT/,
    'The bundled PostgreSQL does not run here (it needs glibc, which Alpine lacks): set DATABASE_URL.',
  ],
];

/** What a person can do about a failure, by its message or log. Begins with a space; empty if unknown. */
export function adviceFor(message: string): string {
  const found = ADVICE.find(([pattern]) => pattern.test(message));
  return found ? ` ${found[1]}` : '';
}
