import type { Command } from 'commander';
import { readConfig } from '../config.ts';
import { createLog } from '../ops/log.ts';
import { EXIT } from './exit.ts';

type DoctorOptions = { source?: string; sendTests?: boolean; live?: boolean; json?: boolean };

/**
 * The commands that run the service or open its database. Each ends its process: a stop half way leaves work behind. What it
 * runs is loaded then alone: all of it takes a second, which help and the clients of a service need not wait for.
 */
export function addServiceCommands(program: Command): void {
  program
    .command('all')
    .description('Run everything in this process, on an embedded PostgreSQL unless DATABASE_URL is set')
    .action(async () => {
      const config = readConfig(undefined, { serves: true });
      const log = createLog(config.logLevel);
      const { serve } = await import('./serve.ts');
      await serve(config, { mode: 'own', migrate: true, dispatch: true, imap: true, log });
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
      const config = readConfig(undefined, { serves: true });
      const { migrate = false, dispatch } = options;
      const log = createLog(config.logLevel);
      const { serve } = await import('./serve.ts');
      await serve(config, { mode: 'join', migrate, dispatch, imap: false, log });
      process.exit();
    });

  program
    .command('worker')
    .description('Read mailboxes over IMAP; any number of these share a database, and the mailboxes')
    .option('--source <id>', 'this one alone')
    .option('--capacity <n>', 'sessions that this process holds at most (5000)')
    .action(async (options: { source?: string; capacity?: string }) => {
      const config = readConfig();
      const { source, capacity } = options;
      const { work } = await import('./work.ts');
      await work(config, { source, capacity, log: createLog(config.logLevel) });
      process.exit();
    });

  program
    .command('migrate')
    .description(
      "Bring the database's schema to this version; safe to run again and at once from several places",
    )
    .action(async () => {
      const config = readConfig();
      const { migrate } = await import('./migrate.ts');
      const isDone = await migrate(config);
      process.exit(isDone ? 0 : EXIT.interrupted);
    });

  program
    .command('doctor')
    .description(
      'Look at everything that can be wrong, and say what to do about it; exits with the number of failures',
    )
    .option('--source <id>', 'this one alone')
    .option('--send-tests', 'send each endpoint a test event; else it is only connected to')
    .option('--live', 'have Gmail send a push for each of its sources, and wait for it')
    .option('--json', 'print JSON')
    .action(async (options: DoctorOptions) => {
      const { doctor } = await import('./doctor.ts');
      process.exit(await doctor(options));
    });

  program
    .command('copy')
    .description(
      'Copy all that is stored into another, empty database: from the embedded one to a managed one, or back',
    )
    .option('--to <url>', 'from the configured database into this one')
    .option('--from <url>', 'from this one into the configured database')
    .option('--force', 'although services run on one of them: what they take in meanwhile is not copied')
    .action(async (options: { from?: string; to?: string; force?: boolean }) => {
      const config = readConfig();
      const { copy } = await import('./copy.ts');
      process.exit((await copy(config, options)) ? 0 : EXIT.interrupted);
    });

  program
    .command('demo')
    .description('See a dozen mails go through, on the running service or one of its own')
    .action(async () => {
      const config = readConfig();
      const { demo } = await import('./demo.ts');
      await demo(config);
      process.exit();
    });
}
