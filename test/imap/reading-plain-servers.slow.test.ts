import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { type DovecotOptions, startDovecot } from '../support/imap/dovecot.ts';
import { startFaultProxy } from '../support/imap/fault-proxy.ts';
import { look, mailsOf, untilRead, untilRecovered } from './reading.ts';
import { mailTo, serverOf, startStage } from './stage.ts';

/*
 * Servers that lack what makes reading quick give the same mail, only later.
 */

const stage = await startStage({ random: () => 0, imapProbeMs: 400 });
after(() => stage[Symbol.asyncDispose]());

type Variant = {
  name: string;
  options: DovecotOptions;
  /** Refused too: Dovecot obeys what it does not advertise. */
  refused: readonly string[];
  state: 'idle' | 'polling';
  mode: 'idle' | 'poll';
};

const VARIANTS: readonly Variant[] = [
  { name: 'without IDLE', options: { idle: false }, refused: ['IDLE'], state: 'polling', mode: 'poll' },
  {
    name: 'without CONDSTORE',
    options: { condstore: false },
    refused: ['ENABLE'],
    state: 'idle',
    mode: 'idle',
  },
  { name: 'without LIST-STATUS', options: { listStatus: false }, refused: [], state: 'idle', mode: 'idle' },
  { name: 'without SPECIAL-USE', options: { specialUse: false }, refused: [], state: 'idle', mode: 'idle' },
  {
    name: 'of 1996, with IMAP4rev1 alone',
    options: { capability: 'IMAP4rev1', specialUse: false },
    refused: ['IDLE', 'ENABLE', 'ID', 'NAMESPACE', 'UNSELECT', 'MOVE'],
    state: 'polling',
    mode: 'poll',
  },
];

for (const { name, options, refused, state, mode } of VARIANTS) {
  describe(`a server ${name}`, () => {
    test('gives old mail and new mail of all folders, once', async () => {
      await using dovecot = await startDovecot(options);
      await using proxy = await startFaultProxy(dovecot);
      for (const command of refused) proxy.refuseCommand(command);
      const user = `${name.replaceAll(/\W+/g, '-')}@example.com`.toLowerCase();
      const named = (subject: string) => `${subject} ${name}`;
      const hourAgo = new Date(Date.now() - 3_600_000);
      await dovecot.drop(user, mailTo(user, named('old')), { internalDate: hourAgo });
      await dovecot.drop(user, mailTo(user, named('old junk')), { internalDate: hourAgo, folder: 'Junk' });
      const { status, body } = await stage.addSource(user, {
        ...serverOf({ ...proxy, password: dovecot.password }, user),
        since: new Date(Date.now() - 7_200_000).toISOString(),
        settings: { pollIntervalMs: 5000 },
      });
      assert.equal(status, 201, JSON.stringify(body));
      assert.equal(body.report.idle, mode === 'idle');
      assert.deepEqual(body.report.folders, ['INBOX', 'Junk']);
      await stage.waitForSubjects([named('old'), named('old junk')], 40_000);
      await untilRecovered(stage, body.id, 2);
      const source = await stage.waitForState(body.id, state);
      assert.equal(source.mode, mode);

      await dovecot.deliver(user, mailTo(user, named('new')));
      await dovecot.deliver(user, mailTo(user, named('new junk')), { folder: 'Junk' });
      await stage.waitForSubjects([named('new'), named('new junk')], 40_000);
      assert.equal(mailsOf(stage).find(({ subject }) => subject === named('new junk'))?.placement, 'spam');

      await dovecot.move(user, 'INBOX', 'Junk');
      await untilRead(stage, body.id, 4, 'Junk');
      // Whoever does not want to wait for the next poll asks for a look.
      await dovecot.deliver(user, mailTo(user, named('looked for')));
      await look(stage, body.id);
      await stage.waitForSubjects(['old', 'old junk', 'new', 'new junk', 'looked for'].map(named), 40_000);

      await dovecot.flipUidValidity(user, 'Junk');
      await dovecot.deliver(user, mailTo(user, named('flipped')), { folder: 'Junk' });
      await stage.waitForSubjects(
        ['old', 'old junk', 'new', 'new junk', 'looked for', 'flipped'].map(named),
        60_000,
      );
    });
  });
}
