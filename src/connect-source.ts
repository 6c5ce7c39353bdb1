import type { Sql } from 'postgres';
import type { Keyring } from './core/sealed.ts';
import type { GmailSources } from './gmail/connect.ts';
import type { ConnectSource } from './http/services.ts';
import { saveConnectedSource } from './store/connected-sources.ts';

/**
 * What becomes of a person's consent. Outlook is read over IMAP: its source waits for a worker to claim it.
 *
 * @param wakeWorkers has them look at once, wherever they are.
 */
export function createConnectSource(
  sql: Sql,
  keyring: Keyring,
  gmail: GmailSources,
  wakeWorkers: () => void,
): ConnectSource {
  return async (mailboxId, provider, refreshToken, account) => {
    if (provider === 'google') return gmail.connect(mailboxId, { type: 'oauth', refreshToken });
    const credentials = { type: 'oauth', user: account, provider, refreshToken } as const;
    const source = await saveConnectedSource(sql, keyring, { mailboxId, provider, credentials, account });
    wakeWorkers();
    return source;
  };
}
