import { fork } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Order, Outcome } from './command-process.ts';
import { commandEnvironment } from './process.ts';

const program = fileURLToPath(new URL('command-process.ts', import.meta.url));

/** Commands of the command line that come to an end, one after the other in a process beside this one. */
export type Commands = AsyncDisposable & {
  run(args: readonly string[], env?: Record<string, string>): Promise<CommandOutcome>;
};

/** `told` is standard error by lines: what a person is told. */
export type CommandOutcome = Outcome & { told: string[] };

/**
 * For tests of what commands do and say. That a process of its own does the same, and ends by itself, is for `startMailgress`
 * to show, at ten times the cost.
 */
export function startCommands(): Commands {
  const child = fork(program, { cwd: tmpdir(), env: commandEnvironment() });
  let last: Promise<unknown> = Promise.resolve();

  async function runNow(order: Order): Promise<CommandOutcome> {
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the process of commands ended with ${code} at ${order.args.join(' ')}`);
    });
    ended.catch(() => {});
    child.send(order);
    const [outcome] = (await Promise.race([once(child, 'message'), ended])) as [Outcome];
    return { ...outcome, told: outcome.stderr.split('\n').filter((line) => line !== '') };
  }

  return {
    run(args, env = {}) {
      const next = last.then(() => runNow({ args, env }));
      last = next.catch(() => {});
      return next;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    },
  };
}
