/*
 * The text that Prometheus reads (exposition format 0.0.4), and what counts for it. Of a client library we would use
 * this much: counters and histograms with labels. Gauges are read when they are asked for, so they are printed alone.
 */

export type Labels = Readonly<Record<string, string>>;
export type Sample = { labels?: Labels; value: number };

export type Counter = { add(labels: Labels): void; print(): string };
export type Histogram = { observe(labels: Labels, value: number): void; print(): string };

/** @param name ends in `_total`. */
export function createCounter(name: string, help: string): Counter {
  const series = new Map<string, Sample & { labels: Labels }>();
  return {
    add(labels) {
      const key = printLabels(labels);
      const one = series.get(key) ?? { labels, value: 0 };
      one.value++;
      series.set(key, one);
    },
    print: () => printMetric('counter', name, help, [...series.values()]),
  };
}

/** @param bounds upper ends of the buckets, rising; a last one without end is added. */
export function createHistogram(name: string, help: string, bounds: readonly number[]): Histogram {
  const series = new Map<string, { labels: Labels; counts: number[]; count: number; sum: number }>();
  return {
    observe(labels, value) {
      const key = printLabels(labels);
      const one = series.get(key) ?? { labels, counts: bounds.map(() => 0), count: 0, sum: 0 };
      const at = bounds.findIndex((bound) => value <= bound);
      if (at >= 0) one.counts[at] = (one.counts[at] ?? 0) + 1;
      one.count++;
      one.sum += value;
      series.set(key, one);
    },
    print() {
      const lines = [...series.values()].flatMap(({ labels, counts, count, sum }) => {
        let below = 0;
        const buckets = bounds.map((bound, at) => {
          below += counts[at] ?? 0;
          return printSample(`${name}_bucket`, { ...labels, le: String(bound) }, below);
        });
        return [
          ...buckets,
          printSample(`${name}_bucket`, { ...labels, le: '+Inf' }, count),
          printSample(`${name}_sum`, labels, sum),
          printSample(`${name}_count`, labels, count),
        ];
      });
      return [...printHead('histogram', name, help), ...lines, ''].join('\n');
    },
  };
}

/** One metric with its samples; without any, its name and help alone. */
export function printMetric(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  samples: readonly Sample[],
): string {
  const lines = samples.map(({ labels = {}, value }) => printSample(name, labels, value));
  return [...printHead(type, name, help), ...lines, ''].join('\n');
}

function printHead(type: string, name: string, help: string): string[] {
  return [
    `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`,
    `# TYPE ${name} ${type}`,
  ];
}

function printSample(name: string, labels: Labels, value: number): string {
  return `${name}${printLabels(labels)} ${value}`;
}

function printLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    const escaped = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
    return `${name}="${escaped}"`;
  });
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
