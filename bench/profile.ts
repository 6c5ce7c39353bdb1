import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

type Profile = {
  nodes: {
    id: number;
    callFrame: { functionName: string; url: string; lineNumber: number };
    children?: number[];
  }[];
  samples: number[];
  timeDeltas: number[];
};

/**
 * Where the time of the profiled processes went, as text: for each profile (one a thread) the functions by the time
 * spent in them and below them, in us a mail.
 */
export async function printProfiles(directory: string, mails: number): Promise<string> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.cpuprofile')).sort();
  const texts = await Promise.all(
    files.map(async (file) => {
      const profile = JSON.parse(await readFile(join(directory, file), 'utf8')) as Profile;
      const { busyUs, totalUs } = sumUp(profile);
      const lines = [...totalUs]
        .sort(([, a], [, b]) => b - a)
        .slice(0, 60)
        .map(([name, us]) => `  ${(us / mails).toFixed(1).padStart(8)}  ${name}`);
      return `\n${file}: ${(busyUs / mails).toFixed(0)} us a mail\n${lines.join('\n')}\n`;
    }),
  );
  return texts.join('');
}

/** A function that calls itself counts once. */
function sumUp({ nodes, samples, timeDeltas }: Profile): { busyUs: number; totalUs: Map<string, number> } {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const totalUs = new Map<string, number>();
  let busyUs = 0;
  for (const [at, sample] of samples.entries()) {
    const us = timeDeltas[at] ?? 0;
    if (names.get(sample) === '(idle)') continue;
    busyUs += us;
    const seen = new Set<string>();
    for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) {
      seen.add(names.get(id) ?? '');
    }
    for (const name of seen) totalUs.set(name, (totalUs.get(name) ?? 0) + us);
  }
  return { busyUs, totalUs };
}

function nameOf({ functionName, url, lineNumber }: Profile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName;
  const file = url.replace(/^.*\/(?=(?:node_modules|src|bench)\/)/, '');
  return `${functionName || '(anonymous)'} ${file}:${lineNumber + 1}`;
}
