import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { subjectGroupOf } from '../../src/core/subject-group.ts';

describe('subjectGroupOf', () => {
  const table: [string | null, string][] = [
    [null, ''],
    ['', ''],
    ['  Hello   World ', 'hello world'],
    ['Re: Hello', 'hello'],
    ['RE:hello', 'hello'],
    ['Fwd: FW: re : Hello', 'hello'],
    ['AW: WG: Antw: Hallo', 'hallo'],
    ['SV: VS: TR: RV: Hello', 'hello'],
    ['Re[2]: RE(3): Re^4: Hello', 'hello'],
    ['回复: 转发：报告', '报告'],
    ['Re:', ''],
    ['Re: Re:', ''],
    ['Reply: hello', 'reply: hello'],
    ['Request: hello', 'request: hello'],
    ['Invoice Re: 12', 'invoice re: 12'],
    ['Re hello', 're hello'],
    ['[list] Re: hello', '[list] re: hello'],
    ['STRASSE ÄÖÜ', 'strasse äöü'],
    ['x'.repeat(500), 'x'.repeat(200)],
    [`${'Re: '.repeat(250_000)}Hello`, 'hello'],
    [`Re${' '.repeat(1_000_000)}`, 're'],
    [`Re:${' '.repeat(1_000_000)}x`, 'x'],
  ];
  for (const [subject, expected] of table)
    test(`makes ${JSON.stringify(subject?.slice(0, 30) ?? null)} ${JSON.stringify(expected.slice(0, 30))}`, () =>
      assert.equal(subjectGroupOf(subject), expected));
});
