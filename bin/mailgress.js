#!/usr/bin/env node
// Plain JavaScript for any Node, so that an old one says what is wrong instead of failing on the first line.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

const needed = 24;

if (Number(process.versions.node.split('.')[0]) < needed) {
  process.stderr.write(
    `mailgress: this is Node ${process.versions.node}; Mailgress needs ${needed} or later. In a checkout, \`npx mailgress\` and npm scripts bring it along.\n`,
  );
  process.exit(69);
}
// Kept between runs, what V8 made of the source: a command starts in half the time. Beside the program, and not where Node
// puts it by itself: in /tmp another user of the machine may have been there first, and what lies there is run.
module.enableCompileCache(fileURLToPath(new URL('../.cache/compiled', import.meta.url)));
// A checkout has the sources, and maybe an old dist/ beside them; the package has dist/ alone, as Node strips no types
// under node_modules.
const isCheckout = existsSync(new URL('../src/main.ts', import.meta.url));
await import(isCheckout ? '../src/main.ts' : '../dist/main.js');
