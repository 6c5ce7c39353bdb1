import { bytes, type Fixture, header } from './fixture.ts';

const ada = { name: 'Ada', address: 'ada@example.com' };
const bare = { name: '', address: 'ada@example.com' };

const froms: [claim: string, from: string, expected: object | null][] = [
  ['reads a name and an address', 'Ada <ada@example.com>', ada],
  ['reads an address alone', 'ada@example.com', bare],
  ['reads an address in brackets', '<ada@example.com>', bare],
  ['reads a name in quotes', '"Ada" <ada@example.com>', ada],
  ['reads a comma in quotes', '"Lovelace, Ada" <ada@example.com>', { ...ada, name: 'Lovelace, Ada' }],
  ['reads an escaped quote', '"A \\"da\\"" <ada@example.com>', { ...ada, name: 'A "da"' }],
  ['reads single quotes as they are', "'Ada' <ada@example.com>", { ...ada, name: "'Ada'" }],
  ['reads the name in a comment', 'ada@example.com (Ada)', ada],
  ['leaves out a comment beside a name', 'Ada <ada@example.com> (home)', ada],
  ['reads a name without a space before its address', 'Ada<ada@example.com>', ada],
  ['reads an address without its closing bracket', 'Ada <ada@example.com', ada],
  ['reads an address with blanks in its brackets', 'Ada < ada@example.com >', ada],
  ['reads a name with a dot', 'Ada L. King <ada@example.com>', { ...ada, name: 'Ada L. King' }],
  ['reads a name folded', 'Ada\n King <ada@example.com>', { ...ada, name: 'Ada King' }],
  ['reads a name and its address on two lines', 'Ada\n\t<ada@example.com>', ada],
  ['reads a name that is an address', '"ada@example.com" <ada@example.com>', bare],
  [
    'reads a name that is another address',
    '"bob@example.com" <ada@example.com>',
    { ...ada, name: 'bob@example.com' },
  ],
  ['keeps the case of an address', 'Ada <Ada@Example.COM>', { ...ada, address: 'Ada@Example.COM' }],
  ['keeps a tag of an address', 'ada+news@example.com', { ...bare, address: 'ada+news@example.com' }],
  ['reads an address of UTF-8', 'Ada <adä@exämple.com>', { ...ada, address: 'adä@exämple.com' }],
  ['reads an address of punycode', 'ada@xn--exmple-cua.com', { ...bare, address: 'ada@xn--exmple-cua.com' }],
  ['reads an address of a number', 'ada@[192.0.2.1]', { ...bare, address: 'ada@[192.0.2.1]' }],
  ['reads a name of UTF-8', 'Adä 😀 <ada@example.com>', { ...ada, name: 'Adä 😀' }],
  ['reads the first of two senders', 'Ada <ada@example.com>, Bob <bob@example.com>', ada],
  ['reads the first that has an address', 'Ada King, Ada <ada@example.com>', ada],
  ['reads the first member of a group', 'Team: Ada <ada@example.com>;', ada],
  ['knows no sender of an empty header', '', null],
  ['knows no sender of empty brackets', '<>', null],
  ['knows no sender of a name alone', 'Ada', null],
  ['reads what an old gateway wrote without an at', 'Ada <ada>', { ...ada, address: 'ada' }],
  [
    'keeps a route, which nobody writes any more',
    '<@relay.example.org:ada@example.com>',
    { name: '', address: '@relay.example.org:ada@example.com' },
  ],
];

const lists: [claim: string, headers: string, expected: object[]][] = [
  [
    'reads a list',
    'To: Ada <ada@example.com>, bob@example.com',
    [ada, { name: '', address: 'bob@example.com' }],
  ],
  [
    'reads a folded list',
    'To: Ada <ada@example.com>,\n\tbob@example.com',
    [ada, { address: 'bob@example.com' }],
  ],
  [
    'reads a list parted by semicolons',
    'To: Ada <ada@example.com>; bob@example.com',
    [ada, { address: 'bob@example.com' }],
  ],
  ['skips empty places of a list', 'To: , ada@example.com,, ,', [bare]],
  [
    'reads two headers as one list',
    'To: ada@example.com\nTo: bob@example.com',
    [bare, { address: 'bob@example.com' }],
  ],
  [
    'reads a group as its members',
    'To: Team: ada@example.com, bob@example.com;',
    [bare, { address: 'bob@example.com' }],
  ],
  [
    'reads a group and who is beside it',
    'To: Team: ada@example.com;, bob@example.com',
    [bare, { address: 'bob@example.com' }],
  ],
  ['reads an empty group as nobody', 'To: undisclosed-recipients:;', []],
  ['reads an empty group without its semicolon', 'To: Undisclosed recipients:', []],
  ['drops a name that has no address', 'To: Ada King, bob@example.com', [{ address: 'bob@example.com' }]],
  [
    'keeps the quotes that an address needs',
    'To: "ada king"@example.com, A <"a, \\"k\\""@example.com>, "ada@home"@example.com',
    [
      { name: '', address: '"ada king"@example.com' },
      { name: 'A', address: '"a, \\"k\\""@example.com' },
      { name: '', address: '"ada@home"@example.com' },
    ],
  ],
  [
    'leaves out the quotes that an address does without',
    'To: "ada"@example.com, <"ada"@example.com>',
    [bare, bare],
  ],
  [
    'reads an address with a literal of IPv6',
    'To: Ada <ada@[IPv6:2001:db8::1]>, ada@[IPv6:2001:db8::1]',
    [{ address: 'ada@[IPv6:2001:db8::1]' }, { name: '', address: 'ada@[IPv6:2001:db8::1]' }],
  ],
  [
    'reads the address behind brackets that nobody closes',
    'To: Ada <ada@example.com, Bob <bob@example.com>',
    [ada, { name: 'Bob', address: 'bob@example.com' }],
  ],
  [
    'reads the address behind quotes that nobody closes',
    'To: "Ada <ada@example.com>, bob@example.com',
    [{ name: '"Ada', address: 'ada@example.com' }, { address: 'bob@example.com' }],
  ],
  [
    'reads the address behind a comment that nobody closes',
    'To: Ada (home <ada@example.com>, bob@example.com',
    [{ name: 'Ada (home', address: 'ada@example.com' }, { address: 'bob@example.com' }],
  ],
  [
    'reads a semicolon in quotes in a group',
    'To: Team: "Ada; King" <ada@example.com>;',
    [{ ...ada, name: 'Ada; King' }],
  ],
  [
    'reads no address together with what stands before it',
    'To: Ada ""ada@example.com, Ada (home)ada@example.com',
    [ada, ada],
  ],
  [
    'reads two addresses in brackets with nothing between them',
    'To: Ada <ada@example.com> Bob <bob@example.com>\n <cy@example.com> (Cy)',
    [ada, { name: 'Bob', address: 'bob@example.com' }, { name: 'Cy', address: 'cy@example.com' }],
  ],
  [
    'reads an address that stands in brackets twice once',
    'To: Ada <ada@example.com> <ada@example.com>',
    [{ address: 'ada@example.com' }],
  ],
  [
    'reads the address behind a name in brackets',
    'To: Ada <Sales> <ada@example.com>, <Ada> <ada@example.com>',
    [{ ...ada, name: 'Ada Sales' }, ada],
  ],
  [
    'reads an address with a closing bracket alone',
    'To: ada@example.com>, Ada ada@example.com>',
    [bare, { address: 'ada@example.com' }],
  ],
  ['reads an address with a comment inside', 'To: ada(Ada)@example.com', [ada]],
  ['leaves out a comment in a comment', 'To: Ada (at (her) home) <ada@example.com>', [ada]],
  [
    'reads an address before a colon as one',
    'To: ada@example.com: bob@example.com;',
    [bare, { address: 'bob@example.com' }],
  ],
  [
    'reads a group in a group',
    'To: All: Team: ada@example.com, bob@example.com;, cy@example.com',
    [bare, { address: 'bob@example.com' }, { address: 'cy@example.com' }],
  ],
  [
    'reads 5,000 of a list',
    `To: ${Array.from({ length: 5000 }, (_, i) => `"User ${i}" <u${i}@example.com>`).join(',\n ')}`,
    Array.from({ length: 5000 }, (_, i) => ({ name: `User ${i}`, address: `u${i}@example.com` })),
  ],
  ['reads a header in lower case', 'to: ada@example.com', [bare]],
  ['reads a header with a blank before its colon', 'To : ada@example.com', [bare]],
  ['reads a header without a blank behind its colon', 'To:ada@example.com', [bare]],
  ['reads an address twice where it stands twice', 'To: ada@example.com, ada@example.com', [bare, bare]],
  [
    'reads 500 of a list',
    `To: ${Array.from({ length: 500 }, (_, i) => `u${i}@example.com`).join(',\n ')}`,
    Array.from({ length: 500 }, (_, i) => ({ name: '', address: `u${i}@example.com` })),
  ],
];

export const addressFixtures: readonly Fixture[] = [
  ...froms.map(
    ([claim, from, expected]): Fixture => ({
      name: `${claim}, in From`,
      mail: header(`From: ${from}`),
      expect: { from: expected },
    }),
  ),
  ...lists.map(
    ([claim, headers, expected]): Fixture => ({
      name: `${claim}, in To`,
      mail: header(headers),
      expect: { to: expected },
    }),
  ),
  {
    name: 'reads each header of addresses to its field',
    mail: header('Sender: s@example.com\nReply-To: R <r@example.com>\nCc: c@example.com\nBcc: b@example.com'),
    expect: {
      from: null,
      sender: { name: '', address: 's@example.com' },
      replyTo: [{ name: 'R', address: 'r@example.com' }],
      cc: [{ address: 'c@example.com' }],
      bcc: [{ address: 'b@example.com' }],
      parse: 'ok',
    },
  },
  {
    name: 'reads a sender in raw latin1',
    mail: bytes('From: Andr\xe9 <a@example.com>\n\n'),
    expect: {
      from: { name: 'André', address: 'a@example.com' },
      headers: [['From', 'André <a@example.com>']],
    },
  },
  {
    name: 'does not take a resent header for the header',
    mail: header('Resent-From: r@example.com\nFrom: ada@example.com'),
    expect: { from: bare },
  },
];
