import type { Sql } from 'postgres';
import { MailgressError } from './core/errors.ts';
import type { Keyring } from './core/sealed.ts';
import type { ConnectSource } from './http/services.ts';
import { saveConnectedSource } from './store/connected-sources.ts';

/** What becomes of a person's consent. Outlook is read over IMAP: its source waits for a worker to claim it. */
export function createConnectSource(sql: Sql, keyring: Keyring): ConnectSource {
  return async (mailboxId, provider, refreshToken, account) => {
    if (provider === 'google') {
      throw new MailgressError('internal', 'Gmail is not read by this version');
    }
    const credentials = { type: 'oauth', refreshToken } as const;
    return saveConnectedSource(sql, keyring, { mailboxId, provider, credentials, account });
  };
}
