import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MailgressError } from '../../src/core/errors.ts';
import { createEgress, type Lookup } from '../../src/deliver/egress.ts';

const strict = createEgress({ allow: [], allowLoopback: false });

/** A resolver that knows these names and no others. */
function namesOf(table: Record<string, string[]>): Lookup {
  return async (host) =>
    (table[host] ?? []).map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
}

const isBlocked = (error: unknown) => error instanceof MailgressError && error.code === 'egress_blocked';

// From svix-webhooks, `webhook_http_client.rs` (is_allowed_test), the IANA special-purpose registries, and the
// clouds' manuals.
const FORBIDDEN: Record<string, string[]> = {
  private: ['10.254.0.0', '172.16.10.65', '172.31.255.255', '192.168.10.65'],
  loopback: ['127.0.0.1', '127.255.255.255', '::1'],
  unspecified: ['0.0.0.0', '0.1.2.3', '::'],
  'link-local': ['169.254.45.1', 'fe80::1', 'febf::1', 'fe80::1%eth0'],
  metadata: ['169.254.169.254', 'fd00:ec2::254', '100.100.100.200', '192.0.0.192', '168.63.129.16'],
  'carrier-grade NAT': ['100.64.0.1', '100.100.0.0', '100.127.255.255'],
  documentation: ['192.0.2.255', '198.51.100.65', '203.0.113.6', '2001:db8::1', '3fff::1'],
  benchmarking: ['198.18.0.0', '198.19.255.255', '2001:2::1'],
  reserved: ['192.0.0.0', '192.0.0.255', '240.0.0.1', '250.10.20.30', '4000::1', 'a000::1'],
  'multicast and broadcast': ['224.0.0.1', '239.255.255.255', '255.255.255.255', 'ff02::1', 'ff0e::1'],
  'unique-local and site-local': ['fc00::1', 'fdff::1', 'fec0::1'],
  'v4-mapped': [
    '::ffff:127.0.0.1',
    '::ffff:0.0.0.1',
    '::ffff:7f00:1',
    '::ffff:a00:1',
    '::ffff:169.254.169.254',
  ],
  'v4-compatible and translated': ['::127.0.0.1', '::7f00:1', '::8.8.8.8', '::ffff:0:8.8.8.8'],
  NAT64: ['64:ff9b::127.0.0.1', '64:ff9b::a9fe:a9fe', '64:ff9b::10.0.0.1', '64:ff9b:1::8.8.8.8'],
  tunnels: ['2002:7f00:1::', '2002:808:808::1', '2001::1', '2001:0:4136:e378::1'],
  'other special ranges': ['100::1', '5f00::1', '2001:10::1', '192.88.99.1'],
};

const PUBLIC = [
  '1.1.1.1',
  '8.8.8.8',
  '100.63.255.255',
  '100.128.0.0',
  '172.15.0.1',
  '172.32.0.1',
  '198.17.0.1',
  '223.255.255.255',
  '2001:4860:4860::8888',
  '2606:4700::1111',
  '::ffff:8.8.8.8',
  '64:ff9b::8.8.8.8',
];

describe('an address', () => {
  for (const [kind, addresses] of Object.entries(FORBIDDEN))
    for (const address of addresses)
      test(`${address} is forbidden (${kind}), given literally or found by name`, async () => {
        await assert.rejects(strict.resolveAllowed(address), isBlocked);
        const egress = createEgress({
          allow: [],
          allowLoopback: false,
          lookup: namesOf({ 'x.test': [address] }),
        });
        await assert.rejects(egress.resolveAllowed('x.test'), isBlocked);
      });

  for (const address of PUBLIC)
    test(`${address} is reachable`, async () => {
      const [found] = await strict.resolveAllowed(address);
      assert.equal(found?.address, address);
      const host = address.includes(':') ? `[${address}]` : address;
      assert.equal(strict.checkUrl(`https://${host}/hook`).ok, true);
    });
});

describe('checkUrl', () => {
  const refused = [
    ...['http://0x7f.1/', 'http://2130706433/', 'http://017700000001/', 'http://127.1/', 'http://0/'],
    ...['http://127.0.0.1./', 'http://%31%32%37.0.0.1/', 'http://①②⑦.0.0.1/', 'http:\\\\127.0.0.1\\'],
    ...[
      'http://[::1]/',
      'http://[::ffff:127.0.0.1]/',
      'http://[0:0:0:0:0:ffff:7f00:1]:8080/',
      'http://[::]/',
    ],
    ...['http://[64:ff9b::7f00:1]/', 'http://[fe80::1]/', 'https://169.254.169.254/latest/meta-data/'],
    ...['http://localhost/', 'http://LOCALHOST./', 'http://ⓛocalhost/', 'http://a.b.localhost:8080/'],
    ...['http://metadata.google.internal/', 'http://METADATA.google.internal./', 'http://ip6-localhost/'],
    ...['ftp://example.com/', 'file:///etc/passwd', 'javascript:alert(1)', 'unix:/run/docker.sock'],
    ...['http://user@example.com/', 'http://:pass@example.com/', 'http://example.com:80@10.0.0.1/'],
    ...['', 'example.com', '//example.com/', 'http://', 'http://[::1', 'http://exa mple.com/'],
  ];
  for (const url of refused)
    test(`refuses ${JSON.stringify(url)}`, () => {
      const checked = strict.checkUrl(url);
      assert.equal(checked.ok, false);
      assert.ok(!checked.ok && checked.reason.length > 0 && !checked.reason.includes('pass@'));
    });

  test('accepts public addresses, and names wherever they may resolve to', () => {
    for (const url of [
      'https://example.com/a?b',
      'http://1.1.1.1:8080/',
      'https://db.internal/',
      'http://x/',
    ]) {
      const checked = strict.checkUrl(url);
      assert.equal(checked.ok && checked.url.href, url);
    }
  });

  test('goes by the allow list', () => {
    const egress = createEgress({
      allow: ['10.0.0.0/8', 'fd00::/8', 'Localhost.', 'bücher.test'],
      allowLoopback: false,
    });
    for (const url of [
      'http://10.1.2.3/',
      'http://[fd00::1]/',
      'http://localhost:3000/',
      'http://BÜCHER.test/',
    ])
      assert.equal(egress.checkUrl(url).ok, true, url);
    for (const url of ['http://192.168.0.1/', 'http://127.0.0.1/', 'http://a.localhost/'])
      assert.equal(egress.checkUrl(url).ok, false, url);
  });
});

describe('resolveAllowed', () => {
  const table = {
    'public.test': ['93.184.216.34', '2606:2800:220:1::1'],
    'mixed.test': ['93.184.216.34', '10.0.0.1'],
    'office.test': ['10.20.0.1'],
    'db.test': ['192.168.0.9'],
    localhost: ['127.0.0.1', '::1'],
  };
  const egress = createEgress({
    allow: ['10.0.0.0/8', 'DB.test.'],
    allowLoopback: true,
    lookup: namesOf(table),
  });

  test('gives every address of a public name', async () => {
    assert.deepEqual(await egress.resolveAllowed('public.test'), [
      { address: '93.184.216.34', family: 4 },
      { address: '2606:2800:220:1::1', family: 6 },
    ]);
  });

  test('refuses a name with one forbidden address among public ones', async () => {
    const narrow = createEgress({ allow: [], allowLoopback: true, lookup: namesOf(table) });
    await assert.rejects(narrow.resolveAllowed('mixed.test'), isBlocked);
  });

  test('names the host and not the address it found', async () => {
    const narrow = createEgress({ allow: [], allowLoopback: false, lookup: namesOf(table) });
    await assert.rejects(
      narrow.resolveAllowed('office.test'),
      (error: Error) => error.message.includes('office.test') && !error.message.includes('10.20'),
    );
  });

  test('allows by network, by exact host name and by loopback', async () => {
    const first = async (host: string) => (await egress.resolveAllowed(host))[0]?.address;
    assert.equal(await first('office.test'), '10.20.0.1');
    assert.equal(await first('db.test'), '192.168.0.9');
    assert.equal(await first('localhost'), '127.0.0.1');
    assert.equal(await first('[::1]'), '::1');
    assert.equal(await first('127.0.0.2'), '127.0.0.2');
    await assert.rejects(
      egress.resolveAllowed('192.168.0.9'),
      isBlocked,
      'the host is allowed, not its address',
    );
    await assert.rejects(egress.resolveAllowed('db.test/x'));
  });

  test('reads other notations of an address as the URL parser does', async () => {
    for (const host of ['0xa9fea9fe', '2852039166', '0251.0376.0251.0376', '169.254.43518'])
      await assert.rejects(egress.resolveAllowed(host), isBlocked);
  });

  test('fails as getaddrinfo does for a name without address', async () => {
    await assert.rejects(egress.resolveAllowed('nowhere.test'), {
      code: 'ENOTFOUND',
      syscall: 'getaddrinfo',
    });
  });

  test('shares lookups under way and keeps none', async () => {
    const answers: ((addresses: string[]) => void)[] = [];
    const slow = createEgress({
      allow: [],
      allowLoopback: false,
      lookup: async () => {
        const addresses = await new Promise<string[]>((answer) => answers.push(answer));
        return addresses.map((address) => ({ address, family: 4 }));
      },
    });
    const together = [slow.resolveAllowed('rebind.test'), slow.resolveAllowed('rebind.test')];
    assert.equal(answers.length, 1);
    answers[0]?.(['1.1.1.1']);
    await Promise.all(together);

    const later = slow.resolveAllowed('rebind.test');
    answers[1]?.(['127.0.0.1']);
    await assert.rejects(later, isBlocked, 'the second answer is judged anew');
  });
});

describe('the allow list', () => {
  test('takes networks, addresses and hosts', () => {
    const allow = [
      '10.0.0.0/8',
      '10.1.2.3',
      'fd00::/8',
      '::1',
      '[fd00::1]',
      '0.0.0.0/0',
      'a',
      'a_b.c-d.test',
    ];
    createEgress({ allow, allowLoopback: false });
  });

  for (const entry of [
    '',
    ' ',
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    '*.a.test',
    'a:80',
    'http://a',
  ])
    test(`refuses ${JSON.stringify(entry)} and names it`, () => {
      assert.throws(
        () => createEgress({ allow: ['10.0.0.0/8', entry], allowLoopback: false }),
        (error: MailgressError) =>
          error.code === 'configuration' &&
          error.faults.length === 1 &&
          error.message.includes(JSON.stringify(entry)),
      );
    });

  test('allows v4-mapped addresses by the network of the address inside', async () => {
    const egress = createEgress({ allow: ['10.0.0.0/8'], allowLoopback: false });
    assert.equal((await egress.resolveAllowed('::ffff:10.0.0.1')).length, 1);
    await assert.rejects(egress.resolveAllowed('::ffff:192.168.0.1'), isBlocked);
  });
});

test('clear text goes to the addresses that were judged for it: a name that changes gets none', async () => {
  const answers = [['10.0.0.7'], ['8.8.8.8'], ['8.8.8.8']];
  const asked: string[] = [];
  const rebinding = createEgress({
    allow: ['10.0.0.0/8', 'named.test'],
    allowLoopback: false,
    lookup: async (host) => {
      asked.push(host);
      return (answers.shift() ?? []).map((address) => ({ address, family: 4 }));
    },
  });
  assert.deepEqual(await rebinding.resolveTrusted('x.test'), [{ address: '10.0.0.7', family: 4 }]);
  assert.deepEqual(asked, ['x.test'], 'looked up once');
  await assert.rejects(rebinding.resolveTrusted('x.test'), (error: Error) => {
    return isBlocked(error) && /x\.test may not be talked to in clear text/.test(error.message);
  });
  assert.deepEqual(await rebinding.resolveTrusted('named.test'), [{ address: '8.8.8.8', family: 4 }]);
});
