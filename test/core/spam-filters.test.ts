import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readSpamFilters } from '../../src/core/spam-filters.ts';
import { threadCpuMs } from '../support/cpu-time.ts';

/** `name verdict score`, for each filter. */
function printed(...lines: string[]): string[] {
  const headers = lines.map((line) => {
    const originalKey = line.slice(0, line.indexOf(':'));
    return { key: originalKey.toLowerCase(), originalKey, value: line.slice(originalKey.length + 1).trim() };
  });
  return readSpamFilters(headers).map(({ name, verdict, score }) => `${name} ${verdict} ${score}`);
}

describe('a filter alone', () => {
  const table: [string, string[], string[]][] = [
    ['none', ['Subject: x', 'X-Mailer: y', 'X-Spam-Checker-Version: SpamAssassin 4.0'], []],
    [
      'SpamAssassin',
      ['X-Spam-Status: No, score=-2.6 required=5.0 tests=BAYES_00,SPF_PASS autolearn=ham version=3.4.6'],
      ['spamassassin ham -2.6'],
    ],
    [
      'SpamAssassin before 3.0',
      ['X-Spam-Status: Yes, hits=15.2 required=5.0 tests=A version=2.63'],
      ['spamassassin spam 15.2'],
    ],
    [
      'SpamAssassin by its flag',
      ['X-Spam-Flag: YES', 'X-Spam-Score: 7.1 (+++++++)'],
      ['spamassassin spam 7.1'],
    ],
    ['SpamAssassin with a score alone', ['X-Spam-Score: *** (3.1)'], ['spamassassin unknown 3.1']],
    [
      'Rspamd letting a mail pass',
      [
        'X-Rspamd-Action: no action',
        'X-Spamd-Result: default: False [-3.71 / 50.00]; BAYES_HAM(-3.00)[100.00%]',
      ],
      ['rspamd ham -3.71'],
    ],
    [
      'Rspamd marking spam that it does not reject',
      ['X-Spamd-Result: default: False [7.34 / 15.00]; URIBL_BLACK(7.50)[]', 'X-Rspamd-Action: add header'],
      ['rspamd spam 7.34'],
    ],
    [
      'Rspamd by its mark',
      ['X-Spamd-Result: default: False [9.3 / 15.00];', 'X-Spam: Yes'],
      ['rspamd spam 9.3'],
    ],
    ['Rspamd rejecting', ['X-Spamd-Result: default: True [16.00 / 15.00];'], ['rspamd spam 16']],
    ['Rspamd without an action', ['X-Spamd-Result: default: False [1.00 / 15.00];'], ['rspamd ham 1']],
    [
      'Rspamd with the headers of SpamAssassin',
      ['X-Rspamd-Server: mx', 'X-Spam-Status: Yes, score=8.89'],
      ['rspamd spam 8.89'],
    ],
    ['Rspamd having been there', ['X-Rspamd-Queue-Id: 222FC4882F0'], ['rspamd unknown null']],
    [
      'Microsoft',
      [
        'X-Forefront-Antispam-Report: CIP:192.0.2.7;CTRY:;LANG:en;SCL:1;SRV:;IPV:NLI;SFV:NSPM;H:a;PTR:;CAT:NONE;SFS:(1);DIR:INB;',
      ],
      ['microsoft ham 1'],
    ],
    ['Microsoft, spam', ['X-Forefront-Antispam-Report: SCL:5;SFV:SPM;CAT:SPM;'], ['microsoft spam 5']],
    ['Microsoft, spoofed', ['X-Forefront-Antispam-Report: SCL:1;SFV:NSPM;CAT:SPOOF;'], ['microsoft spam 1']],
    [
      'Microsoft, released',
      ['X-Forefront-Antispam-Report: SCL:-1; SFV:SKQ; CAT:HPHISH;'],
      ['microsoft ham -1'],
    ],
    ['Microsoft, blocked by the user', ['X-Forefront-Antispam-Report: sfv:blk'], ['microsoft spam null']],
    ['Microsoft by the level alone', ['X-MS-Exchange-Organization-SCL: 6'], ['microsoft spam 6']],
    ['Microsoft by a low level alone', ['X-MS-Exchange-Organization-SCL: -1'], ['microsoft ham -1']],
    ['Microsoft by the bulk level alone', ['X-Microsoft-Antispam: BCL:7;ARA:1'], ['microsoft spam null']],
    [
      'Microsoft by a low bulk level alone',
      ['X-Microsoft-Antispam: BCL:6;ARA:1'],
      ['microsoft unknown null'],
    ],
    ['Microsoft by the bulk level in lower case', ['X-Microsoft-Antispam: bcl: 9'], ['microsoft spam null']],
    ['Microsoft without a bulk level', ['X-Microsoft-Antispam: ARA:7|8'], ['microsoft unknown null']],
    [
      'Microsoft having passed bulk mail',
      ['X-Forefront-Antispam-Report: SCL:1;SFV:NSPM;CAT:BULK;', 'X-Microsoft-Antispam: BCL:8;'],
      ['microsoft ham 1'],
    ],
    [
      'Microsoft, bulk mail by its category',
      ['X-Forefront-Antispam-Report: SCL:6;CAT:BULK;', 'X-Microsoft-Antispam: BCL:8;'],
      ['microsoft spam 6'],
    ],
    [
      'Microsoft by a low level, whatever the bulk level',
      ['X-Forefront-Antispam-Report: SCL:1;CAT:NONE', 'X-Microsoft-Antispam: BCL:8;'],
      ['microsoft ham 1'],
    ],
    [
      'Proofpoint',
      [
        'X-Proofpoint-Spam-Details: rule=notspam policy=default score=0 adultscore=0 mlxlogscore=999 classifier=spam',
      ],
      ['proofpoint ham 0'],
    ],
    [
      'Proofpoint, spam',
      ['X-Proofpoint-Spam-Details: rule=spam policy=default score=100 spamscore=100'],
      ['proofpoint spam 100'],
    ],
    [
      'Proofpoint of a policy',
      ['X-Proofpoint-Spam-Details: rule=spam_outbound_notspam policy=spam_outbound score=0'],
      ['proofpoint ham 0'],
    ],
    [
      'Proofpoint of another rule',
      ['X-Proofpoint-Spam-Details: rule=quarantine score=50'],
      ['proofpoint unknown 50'],
    ],
    ['Proofpoint, encrypted', ['X-Proofpoint-Spam-Details-Enc: AW1haW4tMjUw'], ['proofpoint unknown null']],
    ['Mimecast', ['X-Mimecast-Spam-Score: 0.003'], ['mimecast unknown 0.003']],
    [
      'Barracuda',
      [
        'X-Barracuda-Spam-Status: No, SCORE=0.00 using per-user scores of TAG_LEVEL=3.5 QUARANTINE_LEVEL=8.0 KILL_LEVEL=1000.0 tests=',
      ],
      ['barracuda ham 0'],
    ],
    [
      'Barracuda, spam',
      ['X-Barracuda-Spam-Score: 3.60', 'X-Barracuda-Spam-Flag: YES'],
      ['barracuda spam 3.6'],
    ],
    [
      'Barracuda in the cloud',
      [
        'X-BESS-Spam-Status: SCORE=5.60 using account:ESS1 scores of QUARANTINE_LEVEL=5.0 KILL_LEVEL=0.0 tests=A',
      ],
      ['barracuda spam 5.6'],
    ],
    [
      'IronPort',
      ['X-IronPort-Anti-Spam-Filtered: true', 'X-IPAS-Result: A2Ak9ACh299Z'],
      ['ironport unknown null'],
    ],
    [
      'Symantec',
      [
        'X-SpamReason: No, hits=0.3 required=7.0 tests=newsletters: ,HTML_20_30',
        'X-StarScan-Version: 9.43.9',
      ],
      ['symantec ham 0.3'],
    ],
    [
      'Symantec, detected passively',
      ['X-SpamReason: Yes, hits=9.0 required=7.0 tests=spam'],
      ['symantec spam 9'],
    ],
    [
      'Symantec, spam',
      ['X-Spam-Flag: YES', 'X-SpamInfo: spam detected heuristically'],
      ['symantec spam null'],
    ],
    [
      'Amavis with what it writes',
      [
        'X-Virus-Scanned: Debian amavisd-new at mx.example.org',
        'X-Spam-Flag: NO',
        'X-Spam-Score: -0.999',
        'X-Spam-Status: No, score=-0.999 tagged_above=-9999 required=6.31 tests=[ALL_TRUSTED=-1] autolearn=ham',
      ],
      ['amavis ham -0.999'],
    ],
    [
      'Amavis by the older tags',
      ['X-Spam-Status: Yes, score=6.457 tag=2 tag2=6.31 kill=6.31 tests=[BAYES_00=-1.9]'],
      ['amavis spam 6.457'],
    ],
    [
      'Amavis by its flag',
      ['X-Virus-Scanned: amavis at mx.example.org', 'X-Spam-Flag: YES'],
      ['amavis spam null'],
    ],
    [
      'Amavis having been there',
      ['X-Virus-Scanned: by amavisd-new at mx.example.org'],
      ['amavis unknown null'],
    ],
    [
      'Amavis having found a virus',
      ['X-Amavis-Alert: INFECTED, message contains virus: Eicar-Signature'],
      ['amavis spam null'],
    ],
    [
      'Amavis minding a header',
      ['X-Amavis-Alert: BAD HEADER SECTION, Duplicate header field: "Cc"'],
      ['amavis unknown null'],
    ],
    ['another virus scanner', ['X-Virus-Scanned: ClamAV using ClamSMTP'], []],
    [
      'a score that is no number',
      ['X-Spam-Status: Yes, score=inf required=5 tests=none'],
      ['spamassassin spam null'],
    ],
    [
      'a score beyond all numbers',
      [`X-Mimecast-Spam-Score: ${'9'.repeat(400)}`],
      ['mimecast unknown 999999999'],
    ],
    ['a status that says neither', ['X-Spam-Status: Nobody knows'], ['spamassassin unknown null']],
  ];
  for (const [what, lines, expected] of table)
    test(what, () => assert.deepEqual(printed(...lines), expected));
});

describe('several filters', () => {
  test('are told in the order of the table, whatever the order of their headers', () => {
    const lines = [
      'X-Virus-Scanned: amavisd-new at mx.example.org',
      'X-Mimecast-Spam-Score: 1',
      'X-Rspamd-Action: reject',
      'X-Spam-Status: No, score=1.5 required=5.0 tests=A',
    ];
    assert.deepEqual(printed(...lines), [
      'spamassassin ham 1.5',
      'rspamd spam null',
      'mimecast unknown 1',
      'amavis unknown null',
    ]);
  });

  test('of one name: the topmost counts', () => {
    assert.deepEqual(printed('X-Spam-Flag: NO', 'X-Spam-Flag: YES'), ['spamassassin ham null']);
  });
});

describe('hostile headers of 500 kB take no time', () => {
  const names = [
    'X-Spam-Status',
    'X-Spamd-Result',
    'X-Forefront-Antispam-Report',
    'X-Proofpoint-Spam-Details',
    'X-Spam-Score',
  ];
  for (const piece of [' ', ';', 'score=', '-', '9', 'rule=', ':[', 'a:b;', 'tag'])
    test(`full of ${JSON.stringify(piece)}`, () => {
      const lines = names.map((name) => `${name}: ${piece.repeat(100_000 / piece.length)}`);
      const startedMs = threadCpuMs();
      printed(...lines);
      assert.ok(threadCpuMs() - startedMs < 100);
    });

  test('of many names', () => {
    const lines = Array.from({ length: 50_000 }, (_, n) => `X-${n}: a`);
    const startedMs = threadCpuMs();
    printed(...lines);
    assert.ok(threadCpuMs() - startedMs < 500);
  });
});
