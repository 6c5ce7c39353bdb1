import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type DovecotOptions, startDovecot } from '../support/imap/dovecot.ts';
import { openImapLines } from '../support/imap/imap-client.ts';
import { skipWithoutDovecot } from '../support/imap/install.ts';

describe('variants of Dovecot', { skip: await skipWithoutDovecot() }, () => {
  const variants: [DovecotOptions, RegExp][] = [
    [{ idle: false }, / IDLE\b/],
    [{ condstore: false }, / (CONDSTORE|QRESYNC|ENABLE)\b/],
    [{ listStatus: false }, / LIST-STATUS\b/],
    [{ specialUse: false }, / SPECIAL-USE\b/],
    [{ hide: ['UIDPLUS', 'MOVE'] }, / (UIDPLUS|MOVE)\b/],
    [{ capability: 'IMAP4rev1' }, / (IDLE|NAMESPACE)\b/],
  ];
  for (const [options, hidden] of variants)
    test(`${JSON.stringify(options)} hides ${hidden} after login`, async () => {
      await using dovecot = await startDovecot(options);
      await using client = await openImapLines(dovecot);
      await client.command(`LOGIN me ${dovecot.password}`);
      const [capability = ''] = await client.command('CAPABILITY');
      assert.match(capability, /^\* CAPABILITY IMAP4rev1/);
      assert.doesNotMatch(capability, hidden);
      const list = await client.command('LIST "" *');
      assert.equal(/\\Junk/.test(list.join()), options.specialUse !== false);
    });
});
