import { EXIT } from './cli/exit.ts';
import { runProgram } from './cli/run-program.ts';

// `mailgress tail | head`: the reader has gone, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : EXIT.software);
});

process.exitCode = await runProgram(process.argv.slice(2));
