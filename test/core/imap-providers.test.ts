import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  IDLE_CEILING_MS,
  IMAP_PRESETS,
  type ImapProvider,
  imapHostOf,
  imapProviderSchema,
  providerOfAddress,
  providerOfHost,
} from '../../src/core/imap-providers.ts';

describe('IMAP_PRESETS', () => {
  test('has one for every provider, and no more', () => {
    assert.deepEqual(Object.keys(IMAP_PRESETS).sort(), [...imapProviderSchema.options].sort());
  });

  for (const [provider, preset] of Object.entries(IMAP_PRESETS))
    test(`${provider} idles no longer than a server must allow, within a budget, and has advice`, () => {
      assert.ok(preset.idleRestartMs >= 60_000 && preset.idleRestartMs < IDLE_CEILING_MS);
      assert.ok(preset.connectionBudget >= 2 && preset.connectionBudget <= 3);
      assert.deepEqual([preset.port, preset.security], [993, 'tls']);
      assert.match(preset.advice, /[^.]$/);
    });

  const restarts: [ImapProvider, minutes: number][] = [
    ['gmail', 9],
    ['microsoft', 25],
    ['yahoo', 3],
    ['aol', 3],
    ['generic', 4.5],
  ];
  for (const [provider, minutes] of restarts)
    test(`${provider} begins IDLE anew every ${minutes} minutes`, () =>
      assert.equal(IMAP_PRESETS[provider].idleRestartMs, minutes * 60_000));

  test('each host belongs to its own provider', () => {
    for (const [provider, { host }] of Object.entries(IMAP_PRESETS))
      if (host !== undefined) assert.equal(providerOfHost(host), provider);
  });
});

const ADDRESSES: [address: string, ImapProvider | undefined, host: string | undefined][] = [
  ['a@gmail.com', 'gmail', 'imap.gmail.com'],
  ['A@GoogleMail.com', 'gmail', 'imap.gmail.com'],
  ['a@outlook.com', 'microsoft', 'outlook.office365.com'],
  ['a@outlook.fr', 'microsoft', 'outlook.office365.com'],
  ['a@hotmail.co.uk', 'microsoft', 'outlook.office365.com'],
  ['a@live.com.au', 'microsoft', 'outlook.office365.com'],
  ['a@msn.com', 'microsoft', 'outlook.office365.com'],
  ['a@yahoo.com', 'yahoo', 'imap.mail.yahoo.com'],
  ['a@yahoo.co.uk', 'yahoo', 'imap.mail.yahoo.com'],
  ['a@yahoo.com.br', 'yahoo', 'imap.mail.yahoo.com'],
  ['a@ymail.com', 'yahoo', 'imap.mail.yahoo.com'],
  ['a@rocketmail.com', 'yahoo', 'imap.mail.yahoo.com'],
  ['a@aol.com', 'aol', 'imap.aol.com'],
  ['a@aol.de', 'aol', 'imap.aol.com'],
  ['a@verizon.net', 'aol', 'imap.aol.com'],
  ['a@icloud.com', 'icloud', 'imap.mail.me.com'],
  ['a@me.com', 'icloud', 'imap.mail.me.com'],
  ['a@mac.com', 'icloud', 'imap.mail.me.com'],
  ['a@fastmail.com', 'fastmail', 'imap.fastmail.com'],
  ['a@fastmail.fm', 'fastmail', 'imap.fastmail.com'],
  ['a@bob.fastmail.com', 'fastmail', 'imap.fastmail.com'],
  ['a@zoho.com', 'zoho', 'imap.zoho.com'],
  ['a@zoho.eu', 'zoho', 'imap.zoho.eu'],
  ['a@zohomail.in', 'zoho', 'imap.zoho.in'],
  ['a@zoho.com.au', 'zoho', 'imap.zoho.com.au'],
  // Other people's.
  ['a@yahoo.co.jp', undefined, undefined],
  ['a@yahoo.jp', undefined, undefined],
  ['a@outlook.io', undefined, undefined],
  ['a@live.dev', undefined, undefined],
  ['a@mygmail.com', undefined, undefined],
  ['a@gmail.com.example.com', undefined, undefined],
  ['a@sub.gmail.com', undefined, undefined],
  ['"a@gmail.com"@example.com', undefined, undefined],
  ['a@example.com', undefined, undefined],
  ['a@', undefined, undefined],
  ['', undefined, undefined],
];
for (const [address, provider, host] of ADDRESSES)
  test(`${address || 'an empty address'} is of ${provider ?? 'nobody known'}`, () => {
    assert.equal(providerOfAddress(address), provider);
    assert.equal(imapHostOf(address), host);
  });

const HOSTS: [host: string, ImapProvider][] = [
  ['imap.gmail.com', 'gmail'],
  ['IMAP.Gmail.com.', 'gmail'],
  ['imap.googlemail.com', 'gmail'],
  ['outlook.office365.com', 'microsoft'],
  ['imap-mail.outlook.com', 'microsoft'],
  ['eur.outlook.com', 'microsoft'],
  ['outlook.office365.us', 'generic'],
  ['imap.mail.yahoo.com', 'yahoo'],
  ['imap.mail.yahoo.co.jp', 'generic'],
  ['imap.aol.com', 'aol'],
  ['imap.mail.me.com', 'icloud'],
  ['p02-imap.mail.me.com', 'icloud'],
  ['imap.fastmail.com', 'fastmail'],
  ['imap.zoho.com', 'zoho'],
  ['imappro.zoho.eu', 'zoho'],
  ['imap.zoho.in', 'zoho'],
  ['imap.gmail.com.example.net', 'generic'],
  ['notoutlook.com', 'generic'],
  ['mail.example.com', 'generic'],
  ['127.0.0.1', 'generic'],
];
for (const [host, provider] of HOSTS)
  test(`the host ${host} is of ${provider}`, () => assert.equal(providerOfHost(host), provider));
