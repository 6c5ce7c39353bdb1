import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Receiver, receiverOfServers } from '../../src/core/receiver.ts';

describe('receiverOfServers', () => {
  const table: [string, string[], Receiver['provider'], string[]][] = [
    ['none', [], null, []],
    ['an own server', ['mx.example.com'], null, ['mx.example.com']],
    ['Gmail', ['mx.google.com'], 'gmail', []],
    ['Gmail in upper case', ['MX.Google.COM'], 'gmail', []],
    ['a host of Yahoo', ['atlas101.free.mail.bf1.yahoo.com'], 'yahoo', []],
    ['a method of iCloud', ['spf.icloud.com'], 'icloud', []],
    ['Exchange Online by the name of its hosts', ['outlook.com'], 'microsoft', []],
    ['Zoho in a zone', ['mx.zohomail.eu'], 'zoho', []],
    ['a name that only ends alike', ['mx.notgoogle.com'], null, ['mx.notgoogle.com']],
    [
      'a provider among own servers',
      ['mx.example.com', 'mx1.messagingengine.com', 'mx.example.org'],
      'fastmail',
      ['mx.example.com', 'mx.example.org'],
    ],
    ['two providers, of which the first counts', ['mx.zoho.com', 'mx.google.com'], 'zoho', []],
  ];
  for (const [what, servers, provider, rest] of table)
    test(what, () => assert.deepEqual(receiverOfServers(servers), { provider, servers: rest }));
});
