#!/usr/bin/env node
// Plain JavaScript for any Node, so that an old one says what is wrong instead of failing on the first line.
import { existsSync } from 'node:fs';

const needed = 24;

if (Number(process.versions.node.split('.')[0]) < needed) {
  process.stderr.write(
    `mailgress: this is Node ${process.versions.node}; Mailgress needs ${needed} or later. In a checkout, \`npx mailgress\` and npm scripts bring it along.\n`,
  );
  process.exit(69);
}
// A checkout has the sources, and maybe an old dist/ beside them; the package has dist/ alone, as Node strips no types
// under node_modules.
const isCheckout = existsSync(new URL('../src/main.ts', import.meta.url));
await import(isCheckout ? '../src/main.ts' : '../dist/main.js');
