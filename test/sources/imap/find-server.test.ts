import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FoundServer, findImapServer, type SrvRecord } from '../../../src/sources/imap/find-server.ts';

type Zone = Record<string, SrvRecord[]>;

function dnsError(code: string): Error {
  return Object.assign(new Error(`querySrv ${code}`), { code });
}

function resolverOf(zone: Zone, none = 'ENOTFOUND') {
  const asked: string[] = [];
  return {
    asked,
    async resolveSrv(name: string): Promise<SrvRecord[]> {
      asked.push(name);
      return zone[name] ?? Promise.reject(dnsError(none));
    },
  };
}

const record = (name: string, port: number, priority = 0, weight = 0): SrvRecord => ({
  ...{ name, port, priority, weight },
});

const TLS = '_imaps._tcp.example.com';
const PLAIN = '_imap._tcp.example.com';

const CASES: [string, address: string, Zone, FoundServer | undefined][] = [
  [
    'the server of TLS',
    'a@example.com',
    { [TLS]: [record('imap.example.com', 993)] },
    { host: 'imap.example.com', port: 993, security: 'tls' },
  ],
  [
    'TLS before STARTTLS of a better priority',
    'a@example.com',
    { [TLS]: [record('tls.example.com', 993, 20)], [PLAIN]: [record('plain.example.com', 143, 0)] },
    { host: 'tls.example.com', port: 993, security: 'tls' },
  ],
  [
    'STARTTLS alone',
    'a@example.com',
    { [PLAIN]: [record('imap.example.com', 143)] },
    { host: 'imap.example.com', port: 143, security: 'starttls' },
  ],
  [
    'STARTTLS where TLS is not offered',
    'a@example.com',
    { [TLS]: [record('.', 0)], [PLAIN]: [record('imap.example.com', 143)] },
    { host: 'imap.example.com', port: 143, security: 'starttls' },
  ],
  [
    'nothing where neither is offered',
    'a@example.com',
    { [TLS]: [record('', 0)], [PLAIN]: [record('.', 0)] },
    undefined,
  ],
  [
    'the lowest priority, then the greatest weight',
    'a@example.com',
    {
      [TLS]: [
        record('c.example.com', 993, 20, 90),
        record('a.example.com', 993, 10, 5),
        record('b.example.com', 1993, 10, 60),
      ],
    },
    { host: 'b.example.com', port: 1993, security: 'tls' },
  ],
  [
    'a host without its dot, in small letters',
    'a@example.com',
    { [TLS]: [record('IMAP.Example.COM.', 993)] },
    { host: 'imap.example.com', port: 993, security: 'tls' },
  ],
  [
    'the server of an international domain',
    'a@münchen.example',
    { '_imaps._tcp.xn--mnchen-3ya.example': [record('imap.example.net', 993)] },
    { host: 'imap.example.net', port: 993, security: 'tls' },
  ],
  [
    'the server of the last domain in an odd address',
    '"a@b"@EXAMPLE.com',
    { [TLS]: [record('imap.example.com', 993)] },
    { host: 'imap.example.com', port: 993, security: 'tls' },
  ],
  ['no host that is none', 'a@example.com', { [TLS]: [record('evil host/x', 993)] }, undefined],
  ['nothing where DNS has nothing', 'a@example.com', {}, undefined],
];
for (const [name, address, zone, expected] of CASES)
  test(`finds ${name}`, async () => {
    for (const none of ['ENOTFOUND', 'ENODATA'])
      assert.deepEqual(await findImapServer(address, resolverOf(zone, none).resolveSrv), expected);
  });

test('asks for STARTTLS only when there is no TLS', async () => {
  const dns = resolverOf({ [TLS]: [record('imap.example.com', 993)] });
  await findImapServer('a@example.com', dns.resolveSrv);
  assert.deepEqual(dns.asked, [TLS]);
});

for (const address of [
  '',
  'a',
  'a@',
  'a@[192.0.2.1]',
  'a@exa mple.com',
  'a@example.com/x',
  'a@example.com:993',
])
  test(`asks nothing for ${JSON.stringify(address)}`, async () => {
    const dns = resolverOf({});
    assert.equal(await findImapServer(address, dns.resolveSrv), undefined);
    assert.deepEqual(dns.asked, []);
  });

test('throws when DNS is away, also for the second question', async () => {
  const away = () => Promise.reject(dnsError('ETIMEOUT'));
  await assert.rejects(findImapServer('a@example.com', away), { code: 'ETIMEOUT' });
  await assert.rejects(
    findImapServer('a@example.com', (name) =>
      Promise.reject(dnsError(name === TLS ? 'ENODATA' : 'ESERVFAIL')),
    ),
    { code: 'ESERVFAIL' },
  );
});
