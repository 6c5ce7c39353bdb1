import { cp, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Copy, DockerfileParser, type Env, type From } from 'dockerfile-ast';
import { runCommand } from './checkout.ts';

/** A stage of a Dockerfile, with what a container of it would have. */
export type Stage = {
  image: string;
  name: string | null;
  env: Record<string, string>;
  workdir: string;
  user: string | undefined;
  healthcheck: string[];
  entrypoint: string[];
  command: string[];
  steps: (
    | { kind: 'copy'; from: string | null; sources: string[]; target: string }
    | { kind: 'run'; command: string }
  )[];
};

/** @throws at an instruction that is not known here, so that none goes untested. */
export function readStages(text: string): Stage[] {
  const stages: Stage[] = [];
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    const keyword = instruction.getKeyword();
    const values = instruction.getArguments().map((argument) => argument.getValue());
    if (keyword === 'FROM') {
      const from = instruction as From;
      stages.push({
        image: from.getImage() ?? '',
        name: from.getBuildStage(),
        env: {},
        workdir: '/',
        user: undefined,
        healthcheck: [],
        entrypoint: [],
        command: [],
        steps: [],
      });
      continue;
    }
    const stage = stages.at(-1);
    if (stage === undefined) throw new Error(`${keyword} stands before FROM`);
    // The form without a shell, behind the flags that a HEALTHCHECK has.
    const strings = (): string[] =>
      JSON.parse(/\[.*\]$/s.exec(instruction.getArgumentsContent() ?? '')?.[0] ?? '');
    if (keyword === 'RUN') stage.steps.push({ kind: 'run', command: values.join(' ') });
    else if (keyword === 'COPY') {
      const from = (instruction as Copy).getFromFlag()?.getValue() ?? null;
      stage.steps.push({ kind: 'copy', from, sources: values.slice(0, -1), target: values.at(-1) ?? '' });
    } else if (keyword === 'ENV') {
      for (const one of (instruction as Env).getProperties()) stage.env[one.getName()] = one.getValue() ?? '';
    } else if (keyword === 'WORKDIR') stage.workdir = values[0] ?? '';
    else if (keyword === 'USER') stage.user = values[0];
    else if (keyword === 'HEALTHCHECK') stage.healthcheck = strings();
    else if (keyword === 'ENTRYPOINT') stage.entrypoint = strings();
    else if (keyword === 'CMD') stage.command = strings();
    else if (keyword !== 'EXPOSE') throw new Error(`no test knows ${keyword}`);
  }
  return stages;
}

/**
 * Does what a builder would, in folders instead of images: each stage's WORKDIR becomes a folder in `to`.
 *
 * @param context what the builder is sent. @returns the folder of the last stage.
 */
export async function buildStages(stages: readonly Stage[], context: string, to: string): Promise<string> {
  const folders = new Map<string, { folder: string; workdir: string }>();
  let folder = '';
  for (const [index, stage] of stages.entries()) {
    folder = join(to, stage.name ?? String(index));
    folders.set(stage.name ?? String(index), { folder, workdir: stage.workdir });
    await mkdir(folder, { recursive: true });
    for (const step of stage.steps) {
      if (step.kind === 'run') await runCommand(step.command, folder, environmentIn(folder, stage));
      else await copyStep(step, folders, context, folder);
    }
  }
  return folder;
}

/** A stage's variables, with the paths of the image as they are here. */
export function environmentIn(folder: string, { env, workdir }: Stage): Record<string, string> {
  const entries = Object.entries(env).map(([name, value]) => [
    name,
    value.replaceAll(`${workdir}/`, `${folder}/`),
  ]);
  return Object.fromEntries(entries);
}

async function copyStep(
  { from, sources, target }: { from: string | null; sources: string[]; target: string },
  folders: ReadonlyMap<string, { folder: string; workdir: string }>,
  context: string,
  folder: string,
): Promise<void> {
  const origin = from === null ? { folder: context, workdir: '' } : folders.get(from);
  if (origin === undefined) throw new Error(`no stage is called ${from}`);
  for (const source of sources) {
    const path = join(origin.folder, source.replace(`${origin.workdir}/`, ''));
    // A folder's content goes into the target, a file keeps its name where the target is a folder.
    const place = target.endsWith('./') ? join(folder, target, source) : join(folder, target);
    await mkdir(dirname(place), { recursive: true });
    await cp(path, place, { recursive: true, verbatimSymlinks: true });
  }
}
