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
    ['Re (2): Réf : hello', 'hello'],
    ['Réf. : hello', 'hello'],
    ['Antwort: hello', 'hello'],
    ['hello (fwd)', 'hello'],
    ['Re: hello (Fwd)  (fwd) ', 'hello'],
    ['[Fwd: hello]', 'hello'],
    ['[Fwd: Re: [list] hello (fwd)]', '[list] hello'],
    ['Re: [Fwd: hello]', 'hello'],
    ['AW: Re: [Fwd: Re: [Fwd: [list] hello]] (fwd)', '[list] hello'],
    ['Re: [Fwd: hello] again', '[fwd: hello] again'],
    ['(fwd)', ''],
    ['hello (fwd) again', 'hello (fwd) again'],
    ['Antworten: hello', 'antworten: hello'],
    [`hello${' (fwd)'.repeat(200_000)}`, 'hello'],
    [`${'[fwd:'.repeat(200_000)}hello${']'.repeat(200_000)}`, 'hello'],
    [`${'Re: [fwd:'.repeat(200_000)}hello${']'.repeat(200_000)}`, 'hello'],
    ['Re : hello', 'hello'],
    ['Re\u00a0: hello', 'hello'],
    ['YNT: İLT: Ilt: merhaba', 'merhaba'],
    ['RIF: Vá: Rép: ATB: hello', 'hello'],
    ['ΑΠ: ΠΡΘ: Отв: hello', 'hello'],
    ['רד', 'רד'],
    ['תגובה: רד', 'רד'],
    ['회신: 전달: 보고', '보고'],
    ['[list] Re: hello', '[list] hello'],
    ['Re: [list] hello', '[list] hello'],
    ['[List] Re: [list] Fwd: [LIST] hello', '[list] hello'],
    ['[list][PATCH 1/2] Re: [PATCH 1/2] hello', '[list] [patch 1/2] hello'],
    ['[list]', '[list]'],
    ['[] hello', '[] hello'],
    ['[list hello', '[list hello'],
    [`[${'x'.repeat(1_000_000)}`, `[${'x'.repeat(199)}`],
    [`${'[a] '.repeat(250_000)}`, `${'[a] '.repeat(50)}`.trim()],
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

describe('different subjects stay apart', () => {
  const table: [string, string][] = [
    ['[list-a] hello', '[list-b] hello'],
    ['[list] hello', 'hello'],
    ['[PATCH 1/2] fix', '[PATCH 2/2] fix'],
    ['[a] [a] hello', '[a] hello'],
    ['FS: bike', 'bike'],
    ['R: hello', 'hello'],
    ['CT: scan', 'PD: scan'],
    ['RE2: hello', 'hello'],
    ['Re-organisation: hello', 'hello'],
    ['Reply: hello', 'Re: hello'],
    ['hello Re: [list] x', 'hello x'],
    ['Invoice 1', 'Invoice 2'],
  ];
  for (const [one, other] of table)
    test(`${one} and ${other}`, () => assert.notEqual(subjectGroupOf(one), subjectGroupOf(other)));
});
