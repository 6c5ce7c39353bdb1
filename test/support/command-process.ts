import { runProgram } from '../../src/cli/run-program.ts';

/*
 * A process that runs one command after the other, as it is asked to (see `commands.ts`). To its parent what a command says is
 * what it writes.
 */

export type Order = { args: readonly string[]; env: Record<string, string> };
export type Outcome = { code: number; stdout: string; stderr: string };

const own = { ...process.env };

process.on('message', async ({ args, env }: Order) => {
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].write = (text: string | Uint8Array) => {
      said[name] += text.toString();
      return true;
    };
  }
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, own, env);
  const outcome: Outcome = { code: await runProgram(args), ...said };
  process.send?.(outcome);
});
