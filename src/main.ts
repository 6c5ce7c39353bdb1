import { Command, CommanderError } from 'commander';
import { migrate } from './cli/migrate.ts';
import { send } from './cli/send.ts';
import { serve } from './cli/serve.ts';
import { readConfig } from './config.ts';
import { type ErrorCode, MailgressError } from './core/errors.ts';
import { createLog } from './ops/log.ts';
import { describeStoreError, isUnavailable } from './store/unavailable.ts';
import { version } from './version.ts';

/** BSD's sysexits(3), and what shells answer for a command that Ctrl-C ended. */
const EXIT = {
  usage: 64,
  dataError: 65,
  unavailable: 69,
  software: 70,
  temporary: 75,
  configuration: 78,
  interrupted: 130,
};

const EXIT_BY_CODE: Partial<Record<ErrorCode, number>> = {
  usage: EXIT.usage,
  bad_request: EXIT.dataError,
  configuration: EXIT.configuration,
  unauthorized: EXIT.configuration,
  already_running: EXIT.unavailable,
  address_taken: EXIT.unavailable,
  database_behind: EXIT.unavailable,
  embedded_database: EXIT.unavailable,
  service_unavailable: EXIT.unavailable,
  store_unavailable: EXIT.temporary,
};

const program = new Command('mailgress')
  .description('Turns new mail into webhooks: stored once, delivered at least once.')
  .version(version)
  .exitOverride()
  .configureHelp({ sortSubcommands: false })
  .showHelpAfterError('Run with --help to see what there is.');

program
  .command('all')
  .description('Run everything in this process, on an embedded PostgreSQL unless DATABASE_URL is set')
  .action(async () => {
    const config = readConfig();
    await serve(config, { mode: 'own', migrate: true, dispatch: true, log: createLog(config.logLevel) });
    // A start-up that was stopped half way leaves work behind.
    process.exit();
  });

program
  .command('serve')
  .description(
    'Run the HTTP side, and the dispatcher unless --no-dispatch; any number of these share a database',
  )
  .option('--migrate', 'migrate the database first')
  .option('--no-dispatch', 'leave deliveries to other processes')
  .action(async (options: { migrate?: boolean; dispatch: boolean }) => {
    const config = readConfig();
    const { migrate = false, dispatch } = options;
    await serve(config, { mode: 'join', migrate, dispatch, log: createLog(config.logLevel) });
    process.exit();
  });

program
  .command('migrate')
  .description(
    "Bring the database's schema to this version; safe to run again and at once from several places",
  )
  .action(async () => {
    const isDone = await migrate(readConfig());
    process.exit(isDone ? 0 : EXIT.interrupted);
  });

program
  .command('send')
  .description('Send a mail, signed, to a running service: the quickest way to see a first one through')
  .argument('<file>', 'an .eml file, or - for standard input')
  .option(
    '--source <id>',
    'a source of kind raw, its secret in MAILGRESS_SOURCE_SECRET; else one is made for you',
  )
  .option('--url <url>', 'where the service runs; else MAILGRESS_PUBLIC_URL, else as the data directory says')
  .option('--token <key>', 'an API key; else MAILGRESS_ADMIN_TOKEN, else as the data directory says')
  .option('--json', 'print the answer as JSON')
  .addHelpText('after', '\nExample:\n  mailgress send examples/hello.eml\n')
  .action((file: string, options: { source?: string; url?: string; token?: string; json?: boolean }) =>
    send(readConfig(), file, options),
  );

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** One message that says what to do, and the exit code. */
function report(error: unknown): number {
  // Help and version come this way too; commander has printed them, and what was wrong with the arguments.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
  if (error instanceof MailgressError) {
    process.stderr.write(`mailgress: ${error.message}\n`);
    return EXIT_BY_CODE[error.code] ?? EXIT.software;
  }
  if (isUnavailable(error)) {
    process.stderr.write(`mailgress: The database is out of reach: ${describeStoreError(error)}\n`);
    return EXIT.unavailable;
  }
  process.stderr.write(`mailgress: ${describeStoreError(error)}\n`);
  return EXIT.software;
}
