/*
 * Writes openapi.json: what `/openapi.json` says, for tools that make clients of it. A test fails when it is stale.
 */
import { writeFile } from 'node:fs/promises';
import { printOpenApi, SNAPSHOT } from './support/openapi-snapshot.ts';

await writeFile(SNAPSHOT, await printOpenApi());
