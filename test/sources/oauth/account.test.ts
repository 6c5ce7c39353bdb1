import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSameAccount } from '../../../src/sources/oauth/account.ts';

test('an account is the mailbox, whatever its case, and at Gmail whatever its dots', () => {
  for (const [mailbox, account] of [
    ['me@example.com', 'Me@Example.COM'],
    ['first.last@gmail.com', 'firstlast@gmail.com'],
    ['f.i.r.s.t@googlemail.com', 'first@gmail.com'],
    ['first@gmail.com', 'F.irst@GoogleMail.com'],
  ] as const) {
    assert.ok(isSameAccount(mailbox, account), `${mailbox} ${account}`);
  }
});

test('and nothing else is', () => {
  for (const [mailbox, account] of [
    ['first.last@example.com', 'firstlast@example.com'],
    ['me@gmail.com', 'me+tag@gmail.com'],
    ['me@gmail.com', 'me@gmail.com.example'],
    ['me@gmail.com', 'me@evil.gmail.com'],
    ['me@example.com', 'me@example.org'],
    ['me@example.com', ''],
    ['me@gmail.com', '"me@gmail.com"@example.com'],
    ['m\u0435@example.com', 'me@example.com'],
  ] as const) {
    assert.ok(!isSameAccount(mailbox, account), `${mailbox} ${account}`);
  }
});
