import { Command, CommanderError } from 'commander';
import { EXIT, reportError } from './cli/exit.ts';
import { addListenCommand } from './cli/listen.ts';
import { addResourceCommands } from './cli/resources.ts';
import { addSendCommand } from './cli/send.ts';
import { addServiceCommands } from './cli/service-commands.ts';
import { addStatusCommand } from './cli/status.ts';
import { addTailCommand } from './cli/tail.ts';
import { version } from './version.ts';

const program = new Command('mailgress')
  .description('Turns new mail into webhooks: stored once, delivered at least once.')
  .version(version)
  .exitOverride()
  .configureHelp({ sortSubcommands: false, showGlobalOptions: true })
  .showHelpAfterError('Run with --help to see what there is.')
  .addHelpText(
    'after',
    `
Examples:
  mailgress all                                    run it, with a PostgreSQL of its own
  mailgress demo                                   see a dozen mails go through
  mailgress send examples/hello.eml                send a first mail to a running service
  mailgress endpoint add http://127.0.0.1:3000/    send events to your program
  mailgress tail                                   watch events come
  mailgress listen --forward http://localhost:3000/hook
                                                   the same, where no URL of yours is reached from outside`,
  );

addServiceCommands(program);
addResourceCommands(program);
addSendCommand(program);
addStatusCommand(program);
addTailCommand(program);
addListenCommand(program);

// `mailgress tail | head`: the reader has gone, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : EXIT.software);
});

try {
  await program.parseAsync();
} catch (error) {
  // Help and version come this way too; commander has printed them, and what was wrong with the arguments.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage;
  else process.exitCode = reportError(error);
}
