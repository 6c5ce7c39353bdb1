import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCounter, createHistogram, printMetric } from '../../src/ops/exposition.ts';

test('escapes what a label or a help may hold', () => {
  const text = printMetric('gauge', 'a', 'Back \\ and\nline.', [
    { labels: { x: 'q " b \\ n \n' }, value: 1.5 },
  ]);
  assert.equal(text, '# HELP a Back \\\\ and\\nline.\n# TYPE a gauge\na{x="q \\" b \\\\ n \\n"} 1.5\n');
});

test('a counter counts each set of labels by itself', () => {
  const counter = createCounter('a_total', 'Help.');
  counter.add({ x: '1' });
  counter.add({ x: '2' });
  counter.add({ x: '1' });
  assert.equal(
    counter.print(),
    '# HELP a_total Help.\n# TYPE a_total counter\na_total{x="1"} 2\na_total{x="2"} 1\n',
  );
});

test('a histogram counts up to and with each bound, and what is beyond in the last', () => {
  const histogram = createHistogram('a_seconds', 'Help.', [0.1, 1]);
  for (const value of [0.1, 0.5, 2]) histogram.observe({}, value);
  assert.deepEqual(histogram.print().split('\n').slice(2), [
    'a_seconds_bucket{le="0.1"} 1',
    'a_seconds_bucket{le="1"} 2',
    'a_seconds_bucket{le="+Inf"} 3',
    'a_seconds_sum 2.6',
    'a_seconds_count 3',
    '',
  ]);
});
