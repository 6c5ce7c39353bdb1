import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitUntil } from '../support/embedded-place.ts';
import { type Dovecot, startDovecot } from '../support/imap/dovecot.ts';
import { openImapLines } from '../support/imap/imap-client.ts';
import { skipWithoutDovecot } from '../support/imap/install.ts';
import { startTokenBook, type TokenBook } from '../support/imap/token-book.ts';

describe('tokens at Dovecot', { skip: await skipWithoutDovecot() }, () => {
  let tokens: TokenBook;
  let dovecot: Dovecot;
  before(async () => {
    tokens = await startTokenBook();
    dovecot = await startDovecot({ tokens });
  });
  after(async () => {
    await dovecot.stop();
    await tokens[Symbol.asyncDispose]();
  });

  const mechanisms = {
    XOAUTH2: {
      first: (user: string, token: string) => `user=${user}\x01auth=Bearer ${token}\x01\x01`,
      afterError: '',
    },
    OAUTHBEARER: {
      first: (user: string, token: string) => `n,a=${user},\x01auth=Bearer ${token}\x01\x01`,
      afterError: 'AQ==',
    },
  };

  for (const [name, { first, afterError }] of Object.entries(mechanisms)) {
    const login = async (user: string, token: string) => {
      await using client = await openImapLines(dovecot);
      client.send(`a AUTHENTICATE ${name} ${Buffer.from(first(user, token)).toString('base64')}`);
      const answer = await client.until(/^(\+|a) /);
      if (!answer.startsWith('+')) return answer;
      client.send(afterError);
      return await client.until(/^a /);
    };

    test(`${name} with a good token, one that is over, revoked, another's or of nobody`, async () => {
      const good = await tokens.issue('me@example.com');
      assert.match(await login('me@example.com', good), /^a OK/);
      await waitUntil('its log says so', () => dovecot.logins('me@example.com').at(-1)?.method === name);
      const refused = /NO \[AUTHENTICATIONFAILED\]/;
      assert.match(await login('you@example.com', good), refused);
      assert.match(await login('me@example.com', 'nobody-knows-it'), refused);
      tokens.expire(good);
      assert.match(await login('me@example.com', good), refused);
      const revoked = await tokens.issue('me@example.com');
      tokens.revoke(revoked);
      assert.match(await login('me@example.com', revoked), refused);
      tokens.accept('of-another-server', 'me@example.com');
      assert.match(await login('me@example.com', 'of-another-server'), /^a OK/);
    });

    test(`${name} when the provider does not answer is no matter of the token`, async () => {
      const token = await tokens.issue('me@example.com');
      tokens.behave('error');
      assert.match(await login('me@example.com', token), /NO \[UNAVAILABLE\]/);
      tokens.behave('answer');
      assert.match(await login('me@example.com', token), /^a OK/);
    });
  }
});
