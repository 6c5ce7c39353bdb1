// Fills the compile cache with what the processes load at their start: for hosts that build once and start often.
process.argv.push('--version');
await import('./mailgress.js');
for (const name of ['serve', 'work', 'migrate']) await import(`../src/cli/${name}.ts`);
// The worker's, at its first connection.
await import('imapflow');
