import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalize } from '../../src/core/normalize.ts';
import { rawMail } from '../support/raw-mail.ts';

/*
 * Headers that are made to cost: as many bytes as headers may have, of something that is repeated.
 */
const SIZE_BYTES = 510_000;
/** Two or three times what the worst takes, on a machine that others use too. */
const MOST_CPU_MS = 1_000;

const headers: [name: string, unit: string][] = [
  ...[
    ':',
    'a:',
    'a:b,',
    'g:a@b;',
    ',',
    'a,',
    'a@b,',
    '"',
    '("',
    '(a',
    '()',
    '<',
    '<>',
    '<td>',
    '<a@b',
    '<a@b><c@d>',
    '@[',
  ]
    .concat([
      '\\"',
      '"\\',
      '"a" ',
      '"a"@b ',
      'a@ ',
      '@',
      '=?',
      '=?utf-8?Q?',
      '=?=',
      '=?a?Q??=',
      '=?utf-8?B?YQ==?=,',
    ])
    .concat([
      '=?utf-8?Q?a?= =?koi8-r?Q?b?= ',
      '=?klingon?Q?=FF?=',
      '=?utf-8?Q?=EF=BF=BD=FF?=',
      '\r\n ',
      'a\r\n\t',
    ])
    .flatMap((unit): [string, string][] => [
      ['From', unit],
      ['To', unit],
    ]),
  ['Subject', '=?utf-8?Q?a?= =?koi8-r?Q?b?= '],
  ['Subject', '=?iso-2022-jp?B?GyRC?= =?gbk?Q?=C3?= '],
  ['Message-ID', '=?utf-8?Q?<a@b>?= '],
  ['References', '<a@b> '],
  ['X', '\r\nX: '],
  ['To', 'a@b\r\nTo: '],
  ['Cc', '=?utf-8?Q?=3Ca@b=3E?=\r\nCc: '],
  ['Content-Type', 'text/plain; a="b"; '],
  ['Content-Disposition', "x; filename*0*=utf-8''%E9; filename*1=b; "],
];

for (const [name, unit] of headers)
  test(`a header ${name} of ${JSON.stringify(unit)} takes bounded time`, async () => {
    const head = Buffer.from(`${name}: `);
    const bytes = Buffer.concat([head, Buffer.alloc(SIZE_BYTES, unit), Buffer.from('\r\n\r\n')]);
    const before = process.threadCpuUsage();
    const { content } = await normalize(rawMail(new Uint8Array(bytes)), new Date(0));
    const { user, system } = process.threadCpuUsage(before);
    const cpuMs = (user + system) / 1000;
    assert.ok(cpuMs < MOST_CPU_MS, `took ${cpuMs} ms`);
    assert.notEqual(content.parse, 'failed');
  });

test('lines of headers count with their ends, so that 300 MB do not come of them', async () => {
  const parseOf = async (lines: number) => {
    const bytes = Buffer.from(`${'a\n'.repeat(lines)}\nText`);
    return (await normalize(rawMail(new Uint8Array(bytes)), new Date(0))).content.parse;
  };
  assert.equal(await parseOf(170_000), 'ok');
  assert.equal(await parseOf(180_000), 'failed');
});
