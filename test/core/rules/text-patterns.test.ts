import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holdsPattern } from '../../../src/core/rules/text-patterns.ts';
import { threadCpuMs } from '../../support/cpu-time.ts';

test('a subject of nothing but marks costs a hundred patterns little', () => {
  const subject = `a${'\u0307\u0323'.repeat(125_000)}`;
  const startedMs = threadCpuMs();
  const patterns = Array.from({ length: 100 }, (_, n) => `invoice ${n}`);
  assert.equal(holdsPattern(subject, patterns), false);
  assert.ok(threadCpuMs() - startedMs < 500);
});

test('a hostile subject costs its pattern little', () => {
  const startedMs = threadCpuMs();
  assert.equal(holdsPattern('a'.repeat(20_000), [`${'*a'.repeat(90)}*b`]), false);
  assert.ok(threadCpuMs() - startedMs < 2000);
});
