import { addressFixtures } from './addresses.ts';
import { bodyFixtures } from './bodies.ts';
import { charsetFixtures } from './charsets.ts';
import { dateFixtures } from './dates.ts';
import { encodedWordFixtures } from './encoded-words.ts';
import type { Fixture } from './fixture.ts';
import { headerFixtures } from './headers.ts';
import { parameterFixtures } from './parameters.ts';
import { structureFixtures } from './structure.ts';

/** Mail of every kind, by what it is about. All of it was written for these tests; nobody's mail is among it. */
export const fixtures: Readonly<Record<string, readonly Fixture[]>> = {
  charsets: charsetFixtures,
  'encoded words': encodedWordFixtures,
  parameters: parameterFixtures,
  addresses: addressFixtures,
  dates: dateFixtures,
  headers: headerFixtures,
  bodies: bodyFixtures,
  structure: structureFixtures,
};
