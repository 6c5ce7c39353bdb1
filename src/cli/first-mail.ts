import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A mail to try with, as from the current directory: in a checkout, or in the installed package. */
export function firstMailPath(): string {
  const path = fileURLToPath(new URL('../../examples/hello.eml', import.meta.url));
  const nearer = relative('.', path);
  return nearer.startsWith('..') ? path : nearer;
}
