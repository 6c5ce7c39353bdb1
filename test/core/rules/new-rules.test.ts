import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { newRulesSchema } from '../../../src/core/rules.ts';

describe('rules that can be none are refused', () => {
  const hours = { days: [1], start: '09:00', end: '18:00', timeZone: 'Europe/Paris' };
  for (const rules of [
    { sender: ['*'] },
    { senders: [] },
    { senders: ['example.com'] },
    { senders: ['a b@example.com'] },
    { senders: ['a@'] },
    { senders: ['a\0@example.com'] },
    { senders: ['*@example.com\n'] },
    { senders: ['a*@example.com'] },
    { senders: ['**@example.com'] },
    { senders: ['@*.example.com'] },
    { senders: ['*@*'] },
    { recipients: ['news@*'] },
    { recipients: 'a@example.com' },
    { mailboxes: ['mbx_1'] },
    { subjectContains: [''] },
    { subjectContains: ['\ud800'] },
    { placement: ['Inbox'] },
    { category: ['newsletter'] },
    { hasAttachment: 'yes' },
    { maxSizeBytes: 0 },
    { activeHours: { ...hours, end: '09:00' } },
    { activeHours: { ...hours, timeZone: 'Mars/Olympus' } },
    { vacation: { from: '2026-11-26T00:00:00Z', to: '2026-11-26T00:00:00Z' } },
    { vacation: { from: '2026-11-26', to: '2026-11-27' } },
    { vacation: { from: '2026-11-26T00:00:00Z', to: '9998-01-01T00:00:01Z' } },
    { vacation: { from: '2026-11-26T00:00:00Z', to: '9999-12-31T23:59:59-14:00' } },
    { outside: 'wait' },
    { subjectGroup: { windowMs: 0 } },
  ])
    test(JSON.stringify(rules), () => assert.equal(newRulesSchema.safeParse(rules).success, false));

  test('and where a * stands in an address, it is told what may be written', () => {
    const { error } = newRulesSchema.safeParse({ senders: ['*@example.com', 'a*@example.com'] });
    assert.deepEqual(
      error?.issues.map(({ path, message }) => [path.join('.'), message]),
      [['senders.1', 'must be an address, @domain, *@domain, or *; elsewhere a * means nothing']],
    );
  });
});

test('a domain written as *@domain is kept as @domain, and all else as it was given', () => {
  const patterns = ['*@example.com', '@x.example', 'a@x.example', '*'];
  assert.deepEqual(newRulesSchema.parse({ senders: patterns, recipients: patterns, maxSizeBytes: 1 }), {
    senders: ['@example.com', '@x.example', 'a@x.example', '*'],
    recipients: ['@example.com', '@x.example', 'a@x.example', '*'],
    maxSizeBytes: 1,
  });
});
