import { monitorEventLoopDelay } from 'node:perf_hooks';
import { printMetric } from './exposition.ts';

/** Of this process, under the names that Prometheus' client libraries use. */
export type ProcessMetrics = { print(): string; stop(): void };

const RESOLUTION_MS = 20;

export function startProcessMetrics(): ProcessMetrics {
  // Each sample is a timer that came late, by so much more than its own interval.
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const lagSeconds = (ns: number) => (Number.isNaN(ns) ? 0 : Math.max(0, ns / 1e9 - RESOLUTION_MS / 1000));

  return {
    print() {
      const gauge = (name: string, help: string, value: number) =>
        printMetric('gauge', name, help, [{ value }]);
      const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
      const { user, system } = process.cpuUsage();
      const startedAtSeconds = Date.now() / 1000 - process.uptime();
      const text = [
        printMetric('counter', 'process_cpu_seconds_total', 'Processor time, all threads.', [
          { value: (user + system) / 1e6 },
        ]),
        gauge('process_start_time_seconds', 'When the process started, since 1970.', startedAtSeconds),
        gauge('process_resident_memory_bytes', 'Resident memory.', rss),
        gauge('nodejs_heap_size_used_bytes', 'Heap of V8 in use.', heapUsed),
        gauge('nodejs_heap_size_total_bytes', 'Heap of V8.', heapTotal),
        gauge('nodejs_external_memory_bytes', 'Memory of buffers and native objects.', external),
        gauge(
          'nodejs_eventloop_lag_mean_seconds',
          'How late timers were since the last look, on average.',
          lagSeconds(delay.mean),
        ),
        gauge(
          'nodejs_eventloop_lag_p99_seconds',
          'The same, of the latest hundredth the first.',
          lagSeconds(delay.percentile(99)),
        ),
        gauge('nodejs_eventloop_lag_max_seconds', 'The same, of the latest.', lagSeconds(delay.max)),
      ].join('');
      delay.reset();
      return text;
    },
    stop: () => void delay.disable(),
  };
}
