import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isActiveAt } from '../../src/core/rules/active-hours.ts';
import { judge, type RuledMail, rulesSchema } from '../../src/core/rules.ts';

const MAILBOX = `mbx_${'1'.repeat(32)}`;
const OTHER = `mbx_${'2'.repeat(32)}`;

const NO_CATEGORY = { bounce: null, complaint: null, autoReply: false, list: null, calendar: null };

const MAIL: RuledMail = {
  from: { name: 'Ada', address: 'Ada@Example.com' },
  to: [{ name: '', address: 'sales+eu@shop.example' }],
  cc: [{ name: '', address: 'cc@other.example' }],
  bcc: [],
  subject: 'Invoice 42: Überfällig [urgent]',
  placement: 'inbox',
  labels: ['INBOX'],
  folder: null,
  category: { ...NO_CATEGORY, list: { id: 'l', name: null, unsubscribe: '', oneClick: false } },
  attachments: [
    {
      index: 0,
      filename: 'logo.png',
      contentType: 'image/png',
      sizeBytes: 1,
      contentId: 'logo',
      disposition: 'inline',
      sha256: '',
    },
  ],
  sizeBytes: 1000,
  truncated: false,
};

const AT = new Date('2026-11-26T12:00:00Z');

function verdictOf(
  rules: unknown,
  mail: Partial<RuledMail> | null = {},
  mailboxId: string | null = MAILBOX,
  at = AT,
) {
  const whole = mail === null ? null : { ...MAIL, ...mail };
  return judge(rulesSchema.parse(rules), { mailboxId, mail: () => whole }, at);
}

describe('a rule', () => {
  const rows: [rules: Record<string, unknown>, isSent: boolean, mail?: Partial<RuledMail>][] = [
    [{}, true],
    [{ mailboxes: [MAILBOX] }, true],
    [{ mailboxes: [OTHER, MAILBOX] }, true],
    [{ mailboxes: [OTHER] }, false],
    [{ senders: ['ada@example.com'] }, true],
    [{ senders: ['ADA@EXAMPLE.COM'] }, true],
    [{ senders: ['da@example.com'] }, false],
    [{ senders: ['@example.com'] }, true],
    [{ senders: ['@EXAMPLE.com'] }, true],
    [{ senders: ['*@example.com'] }, true],
    [{ senders: ['*@EXAMPLE.com'] }, true],
    [{ senders: ['*@ample.com'] }, false],
    [{ senders: ['@ample.com'] }, false],
    [{ senders: ['@com'] }, false],
    [{ senders: ['@example.com'] }, false, { from: { name: '', address: 'a@mail.example.com' } }],
    [{ senders: ['@example.com'] }, false, { from: { name: '', address: 'a@example.com.evil.example' } }],
    [{ senders: ['@example.com'] }, false, { from: { name: '', address: '"@example.com"@evil.example' } }],
    [{ senders: ['nobody@x.example', '@example.com'] }, true],
    [{ senders: ['*'] }, true],
    [{ senders: ['*'] }, true, { from: null }],
    [{ senders: ['@example.com'] }, false, { from: null }],
    [{ recipients: ['sales+eu@shop.example'] }, true],
    [{ recipients: ['sales@shop.example'] }, false],
    [{ recipients: ['@other.example'] }, true],
    [{ recipients: ['*@other.example'] }, true],
    [{ recipients: ['hidden@x.example'] }, true, { bcc: [{ name: '', address: 'hidden@x.example' }] }],
    [{ recipients: ['@x.example'] }, false, { to: [], cc: [] }],
    [{ subjectContains: ['invoice'] }, true],
    [{ subjectContains: ['INVOICE 42'] }, true],
    [{ subjectContains: ['überFÄLLIG'] }, true],
    [{ subjectContains: ['u\u0308berfa\u0308llig'] }, true],
    [{ subjectContains: ['receipt', '[urgent]'] }, true],
    [{ subjectContains: ['receipt'] }, false],
    [{ subjectContains: ['receipt'] }, false, { subject: null }],
    [{ subjectContains: ['*'] }, true, { subject: null }],
    [{ subjectContains: ['invoice ??: *'] }, true],
    [{ subjectContains: ['invoice ?: *'] }, false],
    [{ subjectContains: ['*urgent?'] }, true],
    [{ subjectContains: ['*urgent'] }, false],
    [{ subjectContains: ['nvoice*'] }, false],
    [{ placement: ['inbox', 'updates'] }, true],
    [{ placement: ['spam'] }, false],
    [{ category: ['list'] }, true],
    [{ category: ['bounce', 'autoReply'] }, false],
    [{ category: ['autoReply'] }, true, { category: { ...NO_CATEGORY, autoReply: true } }],
    [{ category: ['none'] }, false],
    [{ category: ['none'] }, true, { category: NO_CATEGORY }],
    [{ hasAttachment: false }, true],
    [{ hasAttachment: true }, false],
    [
      { hasAttachment: true },
      true,
      { attachments: MAIL.attachments.map((one) => ({ ...one, disposition: 'attachment' })) },
    ],
    [{ maxSizeBytes: 1000 }, true],
    [{ maxSizeBytes: 999 }, false],
    [{ subjectGroup: { windowMs: 1000 } }, true],
  ];
  for (const [rules, isSent, mail = {}] of rows) {
    const [name = 'none'] = Object.keys(rules);
    const what = Object.keys(mail).length === 0 ? 'the mail' : JSON.stringify(mail).slice(0, 60);
    test(`${JSON.stringify(rules)} ${isSent ? 'takes' : 'leaves out'} ${what}`, () =>
      assert.deepEqual(verdictOf(rules, mail), isSent ? { send: true } : { skip: name }));
  }
});

describe('of a mail that is known by its headers alone', () => {
  const headersOnly: Partial<RuledMail> = { truncated: true, attachments: [], category: NO_CATEGORY };
  const bounce = { action: null, recipients: [], originalMessageId: null } as never;
  const rows: [rules: Record<string, unknown>, isSent: boolean | 'guess', mail?: Partial<RuledMail>][] = [
    [{ hasAttachment: true }, 'guess'],
    [{ hasAttachment: false }, 'guess'],
    [{ maxSizeBytes: 1000 }, 'guess'],
    [{ maxSizeBytes: 999 }, false],
    [{ category: ['bounce'] }, 'guess'],
    [{ category: ['complaint'] }, 'guess'],
    [{ category: ['calendar', 'list'] }, 'guess'],
    [{ category: ['none'] }, 'guess'],
    [{ category: ['list'] }, false],
    [{ category: ['autoReply', 'list'] }, false],
    [{ category: ['autoReply'] }, true, { category: { ...NO_CATEGORY, autoReply: true } }],
    [{ category: ['bounce', 'autoReply'] }, true, { category: { ...NO_CATEGORY, autoReply: true } }],
    [{ category: ['none'] }, false, { category: { ...NO_CATEGORY, autoReply: true } }],
    [{ category: ['bounce'] }, true, { category: { ...NO_CATEGORY, bounce } }],
    [{ placement: ['archive'] }, 'guess', { placement: 'other', labels: [] }],
    [{ placement: ['archive'] }, false, { placement: 'other', labels: ['Label_1'] }],
    [{ placement: ['inbox'] }, false, { placement: 'other', labels: [], folder: 'Work' }],
    [{ placement: ['archive'] }, false],
    [{ placement: ['inbox'] }, true],
    [{ senders: ['@example.com'] }, true],
    [{ senders: ['@x.example'] }, false],
    [{ subjectContains: ['receipt'] }, false],
    [{ subjectGroup: { windowMs: 1000 } }, true],
  ];
  for (const [rules, isSent, mail = {}] of rows) {
    const [name] = Object.keys(rules);
    const verdict = isSent === 'guess' ? { send: true, isGuess: true } : { send: true };
    const what = { false: 'leaves it out', true: 'takes it', guess: 'takes it, for it may be one' }[
      `${isSent}`
    ];
    test(`${JSON.stringify(rules)} ${what}${mail.placement ? ` in ${mail.folder ?? mail.labels}` : ''}`, () =>
      assert.deepEqual(
        verdictOf(rules, { ...headersOnly, ...mail }),
        isSent === false ? { skip: name } : verdict,
      ));
  }

  test('one rule that is open saves none that is broken', () =>
    assert.deepEqual(verdictOf({ hasAttachment: true, maxSizeBytes: 999 }, headersOnly), {
      skip: 'maxSizeBytes',
    }));

  test('one that is held says nothing yet: it is judged again', () => {
    const vacation = { from: '2026-11-26T00:00:00Z', to: '2026-11-27T00:00:00Z' };
    assert.deepEqual(verdictOf({ hasAttachment: true, vacation }, headersOnly), {
      rule: 'vacation',
      holdUntil: new Date('2026-11-27T00:00:00Z'),
    });
  });
});

describe('of several rules', () => {
  test('all must hold, and the first that does not is told', () => {
    const all = { senders: ['@example.com'], subjectContains: ['invoice'], placement: ['inbox'] };
    assert.deepEqual(verdictOf(all), { send: true });
    for (const [name, value] of [
      ['senders', ['@x.example']],
      ['subjectContains', ['receipt']],
      ['placement', ['spam']],
    ] as const)
      assert.deepEqual(verdictOf({ ...all, [name]: value }), { skip: name });
  });

  test('those of a mail say nothing of other events, those of mailbox and time do', () => {
    const ofMail = { senders: ['@x.example'], hasAttachment: true, maxSizeBytes: 1, placement: ['spam'] };
    assert.deepEqual(verdictOf(ofMail, null), { send: true });
    assert.deepEqual(verdictOf({ mailboxes: [OTHER] }, null), { skip: 'mailboxes' });
    assert.deepEqual(verdictOf({ mailboxes: [OTHER] }, null, null), { send: true }, 'an event of no mailbox');
    const away = { vacation: { from: '2026-11-26T00:00:00Z', to: '2026-11-27T00:00:00Z' } };
    assert.deepEqual(verdictOf(away, null), {
      rule: 'vacation',
      holdUntil: new Date('2026-11-27T00:00:00Z'),
    });
  });

  test('what is left out for good is not held first', () => {
    const away = { from: '2026-11-26T00:00:00Z', to: '2026-11-27T00:00:00Z' };
    assert.deepEqual(verdictOf({ vacation: away, senders: ['@x.example'] }), { skip: 'senders' });
  });

  test('a mail is not read where no rule speaks of it', () => {
    const rules = rulesSchema.parse({ mailboxes: [MAILBOX], subjectGroup: { windowMs: 1000 } });
    const mail = () => assert.fail('it was read');
    assert.deepEqual(judge(rules, { mailboxId: MAILBOX, mail }, AT), { send: true });
  });
});

describe('outside of its time an event', () => {
  const activeHours = { days: [1, 2, 3, 4, 5], start: '09:00', end: '18:00', timeZone: 'Europe/Paris' };
  const vacation = { from: '2026-12-24T12:00:00+01:00', to: '2027-01-02T00:00:00+01:00' };
  const rows: [at: string, until: string | null, rule?: string][] = [
    ['2026-11-26T12:00:00Z', null],
    ['2026-11-26T20:00:00Z', '2026-11-27T08:00:00Z', 'activeHours'],
    ['2026-12-24T10:59:59Z', null],
    ['2026-12-24T11:00:00Z', '2027-01-04T08:00:00Z', 'vacation'],
    ['2026-12-24T03:00:00Z', '2026-12-24T08:00:00Z', 'activeHours'],
    // The next opening is in the vacation.
    ['2026-12-24T23:30:00Z', '2027-01-04T08:00:00Z', 'vacation'],
    ['2027-01-01T23:00:00Z', '2027-01-04T08:00:00Z', 'activeHours'],
  ];
  for (const [at, until, rule] of rows) {
    test(`is ${until === null ? 'sent' : `held until ${until}`} at ${at}`, () =>
      assert.deepEqual(
        verdictOf({ activeHours, vacation }, {}, MAILBOX, new Date(at)),
        until === null ? { send: true } : { rule, holdUntil: new Date(until) },
      ));
    test(`is ${until === null ? 'sent' : 'dropped'} at ${at} where it is dropped`, () =>
      assert.deepEqual(
        verdictOf({ activeHours, vacation, outside: 'drop' }, {}, MAILBOX, new Date(at)),
        until === null ? { send: true } : { skip: rule },
      ));
  }

  test('whose vacation ends beyond the times that can be written down is held until the last of these', () => {
    const endless = { from: '2026-11-26T00:00:00Z', to: '9999-12-31T23:59:59-14:00' };
    for (const hours of [undefined, activeHours]) {
      // As rules were that are stored already.
      const rules = { ...(hours && { activeHours: hours }), vacation: endless };
      const verdict = judge(rules, { mailboxId: MAILBOX, mail: () => null }, AT);
      assert.match('holdUntil' in verdict ? verdict.holdUntil.toISOString() : '', /^9998-/);
    }
  });

  test('that opens in a vacation waits for its end', () => {
    const early = { from: '2026-11-27T00:00:00Z', to: '2026-11-27T10:30:00Z' };
    assert.deepEqual(
      verdictOf({ activeHours, vacation: early }, {}, MAILBOX, new Date('2026-11-26T20:00:00Z')),
      {
        rule: 'activeHours',
        holdUntil: new Date('2026-11-27T10:30:00Z'),
      },
    );
  });

  test('is held until a time at which it is sent, and later events are never let go before earlier ones', () => {
    const rules = rulesSchema.parse({ activeHours, vacation });
    const time = fc.date({ min: new Date('2026-11-01'), max: new Date('2027-03-01'), noInvalidDate: true });
    fc.assert(
      fc.property(time, time, (one, other) => {
        const [goesAt, laterGoesAt] = [one, other]
          .sort((a, b) => a.getTime() - b.getTime())
          .map((at) => {
            const verdict = verdictOf(rules, {}, MAILBOX, at);
            if (!('holdUntil' in verdict)) return at;
            assert.ok(verdict.holdUntil > at);
            assert.deepEqual(verdictOf(rules, {}, MAILBOX, verdict.holdUntil), { send: true });
            assert.ok(rules.activeHours && isActiveAt(rules.activeHours, verdict.holdUntil));
            return verdict.holdUntil;
          });
        assert.ok(goesAt !== undefined && laterGoesAt !== undefined && goesAt <= laterGoesAt);
      }),
    );
  });
});
