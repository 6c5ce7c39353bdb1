#!/usr/bin/env node
import module from 'node:module';

// Plain JavaScript for any Node, so that an old one says what is wrong instead of failing on the first line.
const needed = 24;

if (Number(process.versions.node.split('.')[0]) < needed) {
  process.stderr.write(
    `mailgress: this is Node ${process.versions.node}; Mailgress needs ${needed} or later. In a checkout, \`npx mailgress\` and npm scripts bring it along.\n`,
  );
  process.exit(69);
}
// Kept between runs, what V8 made of the source: a command starts in half the time.
module.enableCompileCache();
await import('../src/main.ts');
