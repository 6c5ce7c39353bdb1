import { CommanderError } from 'commander';
import { EXIT, reportError } from './cli/exit.ts';
import { createProgram } from './cli/program.ts';

// `mailgress tail | head`: the reader has gone, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : EXIT.software);
});

try {
  await createProgram().parseAsync();
} catch (error) {
  // Help and version come this way too; commander has printed them, and what was wrong with the arguments.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage;
  else process.exitCode = reportError(error);
}
