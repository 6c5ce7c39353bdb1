import { CommanderError } from 'commander';
import { EXIT, reportError } from './exit.ts';
import { createProgram } from './program.ts';

/**
 * Runs a command line to its end, and says on standard error what went wrong. Commands that run for long end the process
 * themselves.
 *
 * @param args without node and the program.
 * @returns the exit code.
 */
export async function runProgram(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    // Help and version come this way too; commander has printed them, and what was wrong with the arguments.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
    return reportError(error);
  }
}
