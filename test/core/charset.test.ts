import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKnown } from '../../src/core/charset.ts';
import { CHARSET_LABELS } from '../../src/core/charset-labels.ts';

test('every name that is known can be read', () => {
  for (const name of CHARSET_LABELS) assert.doesNotThrow(() => new TextDecoder(name), name);
});

test('no other name that mail uses can be', () => {
  for (const name of [
    '',
    'klingon',
    'utf-7',
    'hz-gb-2312',
    'iso-2022-kr',
    'cp932',
    'x-unknown',
    'ansi_x3.110-1983',
  ]) {
    assert.equal(isKnown(name), false, name);
    assert.throws(() => new TextDecoder(name), name);
  }
});

test('a name is known in any case and with blanks around', () => assert.ok(isKnown(' Windows-1252 ')));

test('unknown names cost next to nothing', () => {
  const before = process.cpuUsage();
  for (let index = 0; index < 50_000; index += 1) assert.equal(isKnown(`x${index}`), false);
  const { user, system } = process.cpuUsage(before);
  // About 20; by exceptions a second.
  assert.ok((user + system) / 1000 < 200, `took ${(user + system) / 1000} ms of CPU`);
});
