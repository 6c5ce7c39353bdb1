import { createRequire } from 'node:module';

// Read, not imported: the compiler would want package.json among the sources, and would compile a copy of it.
const { version: ofPackage }: { version: string } = createRequire(import.meta.url)('../package.json');

/** The package's version, as in the user agent of every webhook. */
export const version = ofPackage;
