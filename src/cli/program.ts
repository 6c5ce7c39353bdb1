import { Command } from 'commander';
import { version } from '../version.ts';
import { addListenCommand } from './listen.ts';
import { addResourceCommands } from './resources.ts';
import { addSendCommand } from './send.ts';
import { addServiceCommands } from './service-commands.ts';
import { addStatusCommand } from './status.ts';
import { addTailCommand } from './tail.ts';

/** The command line, with nothing run yet. */
export function createProgram(): Command {
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
  mailgress doctor                                 find what is wrong
  mailgress listen --forward http://localhost:3000/hook
                                                   the same, where no URL of yours is reached from outside`,
    );

  addServiceCommands(program);
  addResourceCommands(program);
  addSendCommand(program);
  addStatusCommand(program);
  addTailCommand(program);
  addListenCommand(program);
  return program;
}
