import { bytes, type Fixture, header } from './fixture.ts';

export const headerFixtures: readonly Fixture[] = [
  {
    name: 'reads a subject of raw UTF-8',
    mail: header('Subject: grüße 😀'),
    expect: { subject: 'grüße 😀', parse: 'ok' },
  },
  {
    name: 'reads a subject of raw latin1',
    mail: bytes('Subject: gr\xfc\xdfe\n\n'),
    expect: { subject: 'grüße', headers: [['Subject', 'grüße']], parse: 'ok' },
  },
  {
    name: 'reads a subject of raw windows-1252',
    mail: bytes('Subject: \x93a\x94 \x80\n\n'),
    expect: { subject: '“a” €' },
  },
  {
    name: 'reads a raw subject in the charset of the text',
    mail: bytes('Subject: \xf0\xd2\xc9\nContent-Type: text/plain; charset=koi8-r\n\n\xf0\xd2'),
    expect: { subject: 'При', text: 'Пр\n' },
  },
  {
    name: 'reads a raw subject in gbk',
    mail: bytes('Subject: \xc4\xe3\xba\xc3\nContent-Type: text/plain; charset="gb2312"\n\n\xc4\xe3'),
    expect: { subject: '你好' },
  },
  {
    name: 'reads a raw subject of latin1 beside a text in UTF-8',
    mail: bytes('Subject: caf\xe9\nContent-Type: text/plain; charset=utf-8\n\nx'),
    expect: { subject: 'café' },
  },
  {
    name: 'reads a raw subject in iso-2022-jp',
    mail: bytes('Subject: \x1b$B$3$s\x1b(B!\n\n'),
    expect: { subject: 'こん!' },
  },
  {
    name: 'reads raw headers each in its own way',
    mail: bytes('Subject: caf\xc3\xa9\nX-A: caf\xe9\n\n'),
    expect: {
      subject: 'café',
      headers: [
        ['Subject', 'café'],
        ['X-A', 'café'],
      ],
    },
  },
  {
    name: 'reads a raw subject folded over lines of which one is broken',
    mail: bytes('Subject: caf\xe9\n\tcr\xe8me\n\n'),
    expect: { subject: 'café crème' },
  },
  {
    // What a dedupe key is made of stays as it was read first.
    name: 'leaves a Message-ID of raw latin1 as the parser has it',
    mail: bytes('message-id : <caf\xe9@example.com>\n\n'),
    expect: { messageId: '<caf\ufffd@example.com>' },
  },
  {
    name: 'unfolds a header and keeps its blanks',
    mail: header('Subject: one\n   two\n\tthree'),
    expect: { subject: 'one   two three', headers: [['Subject', 'one   two\tthree']] },
  },
  {
    name: 'goes on over a folded line of blanks alone',
    mail: header('Subject: one\n  \n two'),
    expect: { subject: 'one   two' },
  },
  {
    name: 'reads a subject that begins on the second line',
    mail: header('Subject:\n one'),
    expect: { subject: 'one' },
  },
  {
    name: 'reads a header folded a thousand times',
    mail: header(`Subject: a${'\n b'.repeat(1000)}`),
    expect: { subject: `a${' b'.repeat(1000)}` },
  },
  {
    name: 'drops the blanks around a value',
    mail: header('Subject:  \t a \t '),
    expect: { subject: 'a', headers: [['Subject', 'a']] },
  },
  {
    name: 'reads a name with blanks before its colon',
    mail: header('Subject \t: a'),
    expect: { subject: 'a', headers: [['Subject', 'a']], parse: 'ok' },
  },
  {
    name: 'reads names in any case',
    mail: header('sUBJECT: a\nMESSAGE-ID: <1@example.com>'),
    expect: { subject: 'a', messageId: '<1@example.com>' },
  },
  {
    name: 'keeps a value with colons whole',
    mail: header('Subject: Re: a: b'),
    expect: { subject: 'Re: a: b', subjectGroup: 'a: b' },
  },
  {
    name: 'takes a first line that is a continuation for a header',
    mail: header(' X-Folded: b\nSubject: a'),
    expect: {
      subject: 'a',
      headers: [
        ['X-Folded', 'b'],
        ['Subject', 'a'],
      ],
      parse: 'ok',
    },
  },
  {
    name: 'says partial for a sentence among the headers, and reads the rest',
    mail: header('Subject: a\nno header here\nFrom: a@example.com'),
    expect: { subject: 'a', from: { name: '', address: 'a@example.com' }, parse: 'partial' },
  },
  {
    name: 'takes a word without a colon for a header without a value',
    mail: header('Subject: a\nX-Empty\nFrom: a@example.com'),
    expect: {
      subject: 'a',
      headers: [
        ['Subject', 'a'],
        ['X-Empty', ''],
        ['From', 'a@example.com'],
      ],
      parse: 'ok',
    },
  },
  {
    // The mark makes a name of its own: a filter before us sees no From, so none is shown.
    name: 'does not take a header behind a byte order mark for a header',
    mail: '\ufeffFrom: a@example.com\nSubject: a\n\n',
    expect: { from: null, subject: 'a', parse: 'partial' },
  },
  {
    name: 'does not take a header behind a no-break space for a header',
    mail: header('\u00a0From: evil@example.com\nFrom: a@example.com'),
    expect: { from: { name: '', address: 'a@example.com' }, parse: 'partial' },
  },
  {
    name: 'reads the first of two senders, each in a header',
    mail: header('From: a@example.com\nFrom: b@example.com'),
    expect: { from: { name: '', address: 'a@example.com' } },
  },
  {
    name: 'leaves out the line that an mbox file has before a mail',
    mail: 'From ada@example.com Mon Jan  1 10:00:00 2024\nSubject: a\n\nText',
    expect: { subject: 'a', headers: [['Subject', 'a']], text: 'Text\n', parse: 'ok' },
  },
  {
    name: 'does not take a From with a blank before its colon for the line of an mbox',
    mail: header('From : a@example.com'),
    expect: { from: { name: '', address: 'a@example.com' }, parse: 'ok' },
  },
  {
    name: 'reads headers that end in LF alone',
    mail: Buffer.from('Subject: a\nTo: b@example.com\n\nText\n'),
    expect: { subject: 'a', to: [{ address: 'b@example.com' }], text: 'Text\n', parse: 'ok' },
  },
  {
    name: 'reads lines that end in CR alone',
    mail: Buffer.from('Subject: a\rTo: b@example.com\r\rone\rtwo\r'),
    expect: { subject: 'a', to: [{ address: 'b@example.com' }], text: 'one\ntwo\n', parse: 'ok' },
  },
  {
    name: 'reads line ends of both kinds',
    mail: Buffer.from('Subject: a\r\nTo: b@example.com\n\r\none\ntwo\r\n'),
    expect: { subject: 'a', to: [{ address: 'b@example.com' }], text: 'one\ntwo\n', parse: 'ok' },
  },
  {
    name: 'reads lines that end in two CRs and an LF',
    mail: Buffer.from('Subject: a\r\r\nTo: b@example.com\r\r\n\r\r\nText\r\r\n'),
    expect: { subject: 'a', to: [{ address: 'b@example.com' }], text: 'Text\n', parse: 'ok' },
  },
  {
    name: 'makes a CR inside a header a space',
    mail: Buffer.from('Subject: a\rBcc: b@example.com\n\nx'),
    expect: { subject: 'a Bcc: b@example.com', bcc: [] },
  },
  {
    name: 'has no body where the headers end without a blank line',
    mail: 'Subject: a\nTo: b@example.com',
    expect: { subject: 'a', text: null, snippet: '', parse: 'ok' },
  },
  {
    name: 'takes what follows a blank first line for the body',
    mail: '\nSubject: a\n\nText',
    expect: { subject: null, headers: [], text: 'Subject: a\n\nText\n' },
  },
  {
    name: 'takes a text without headers for what it is: no mail',
    mail: 'Hello there,\nthis is a note.\n',
    expect: { subject: null, text: null, parse: 'partial' },
  },
  {
    name: 'reads a header of 100 kB',
    mail: header(`X-Long: ${'a'.repeat(100_000)}\nSubject: a`),
    expect: { subject: 'a', parse: 'ok' },
  },
  {
    name: 'reads ids that were folded inside',
    mail: header('Message-ID: <1@\n example.com>\nIn-Reply-To: <0@example.com> (of Monday)'),
    expect: { messageId: '<1@example.com>', inReplyTo: '<0@example.com>' },
  },
  {
    name: 'reads ids without brackets',
    mail: header('Message-ID: 1@example.com\nReferences: a@example.com, b@example.com'),
    expect: { messageId: '<1@example.com>', references: ['<a@example.com>', '<b@example.com>'] },
  },
  {
    name: 'says partial for a Message-ID that is none',
    mail: header('Message-ID: <>'),
    expect: { messageId: null, parse: 'partial' },
  },
  {
    name: 'replaces U+0000 in a header',
    mail: header('Subject: a\0b'),
    expect: { subject: 'a\ufffdb', parse: 'partial' },
  },
  {
    name: 'keeps control characters of a subject',
    mail: header('Subject: a\x07b'),
    expect: { subject: 'a\x07b' },
  },
];
