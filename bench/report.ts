import { cpus, totalmem } from 'node:os';

export type Row = {
  variant: string;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Processor time of the Node process, all threads. */
  nodeUs: number;
};

export type Section = { title: string; rows: Row[]; ratios: Record<string, number> };

export function machine() {
  const [cpu] = cpus();
  return {
    cpu: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}

/** A table and the ratios below it, as text. */
export function printSection({ title, rows, ratios }: Section): string {
  const head = ['', 'mails/s', 'p50 ms', 'p99 ms', 'Node us/mail'];
  const body = rows.map(({ variant, perSecond, p50Ms, p99Ms, nodeUs }) => [
    variant,
    perSecond.toFixed(0),
    p50Ms.toFixed(1),
    p99Ms.toFixed(1),
    Number.isNaN(nodeUs) ? '-' : nodeUs.toFixed(0),
  ]);
  const lines = [head, ...body].map(([name = '', ...figures]) =>
    `  ${name.padEnd(34)}${figures.map((figure) => figure.padStart(14)).join('')}`.trimEnd(),
  );
  const notes = Object.entries(ratios).map(
    ([name, value]) => `  ${name.padEnd(62)}${value.toFixed(2).padStart(14)}`,
  );
  return `\n${title}\n${[...lines, '', ...notes].join('\n')}\n`;
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
