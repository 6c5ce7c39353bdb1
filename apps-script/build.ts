import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readScript } from '../src/sources/apps-script/script.ts';

/*
 * Writes dist/Code.js and dist/appsscript.json, which is what clasp pushes. The configuration in it is still to be
 * filled in; `mailgress source script ID` prints it with a source's own.
 */
const dist = fileURLToPath(new URL('dist/', import.meta.url));
const script = readScript();
mkdirSync(dist, { recursive: true });
writeFileSync(`${dist}Code.js`, script);
copyFileSync(new URL('appsscript.json', import.meta.url), `${dist}appsscript.json`);
console.log(`${dist}Code.js  ${Buffer.byteLength(script)} bytes`);
