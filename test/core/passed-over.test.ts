import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPassedOver } from '../../src/core/passed-over.ts';

const CASES: [labels: string[], settings: { sent?: boolean }, expected: boolean][] = [
  [['INBOX', 'UNREAD'], {}, false],
  [[], {}, false],
  [['SPAM'], {}, false],
  [['DRAFT'], {}, true],
  [['DRAFT', 'INBOX'], { sent: true }, true],
  [['SENT'], {}, true],
  [['SENT'], { sent: false }, true],
  [['SENT'], { sent: true }, false],
  [['SENT', 'INBOX'], {}, false],
];
for (const [labels, settings, expected] of CASES)
  test(`${expected ? 'passes over' : 'takes'} ${labels.join(' ') || 'no label'} with ${JSON.stringify(settings)}`, () =>
    assert.equal(isPassedOver(labels, settings), expected));
