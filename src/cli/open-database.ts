import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import { openDataDirectory, readInstance, readOrCreateSecret } from '../ops/data-directory.ts';
import { isAlive } from '../store/embedded/postmaster-file.ts';
import { openEmbedded } from '../store/embedded.ts';

/** The database of a configuration, open, and the secrets that go with it. */
export type OpenedDatabase = {
  url: string;
  /** Undefined: none was given for a database of its own. */
  adminToken: string | undefined;
  secretKeys: readonly string[];
  /** Where generated secrets and the instance's address are kept; undefined without an embedded database. */
  dataDirectory: string | undefined;
  /** False: another process runs the embedded database, and is the instance that clients find. */
  owned: boolean;
  stop(): Promise<void>;
};

/**
 * Opens what the configuration names: the database of `DATABASE_URL`, or the embedded one, with its data directory
 * and generated secrets.
 *
 * @param mode `own`: refuse an embedded database that another instance runs. `join`: use that one.
 * @throws MailgressError `already_running`, `embedded_database` or `configuration`.
 */
export async function openConfiguredDatabase(
  config: Config,
  mode: 'own' | 'join',
  say: (message: string) => void,
): Promise<OpenedDatabase> {
  if (config.database.kind === 'url') {
    return {
      url: config.database.url,
      adminToken: config.adminToken,
      // readConfig asks for it where DATABASE_URL is given.
      secretKeys: config.secretKeys ?? [],
      dataDirectory: undefined,
      owned: false,
      stop: async () => {},
    };
  }
  const dataDirectory = await openDataDirectory(config.dataDirectory);
  const adminToken =
    config.adminToken ??
    (await readOrCreateSecret(
      dataDirectory,
      'admin-token',
      () => `mgk_${randomBytes(24).toString('base64url')}`,
    ));
  const secretKeys = config.secretKeys ?? [
    await readOrCreateSecret(dataDirectory, 'secret-key', () => randomBytes(32).toString('base64url')),
  ];
  const embedded = await openEmbedded({
    directory: join(dataDirectory, 'postgres'),
    mode,
    log: say,
  }).catch(async (error: unknown) => {
    if (!(error instanceof MailgressError) || error.code !== 'already_running') throw error;
    const instance = await readInstance(dataDirectory);
    // It says so once it listens; until then the file may be of one that was killed.
    const isItsOwn = instance !== undefined && isAlive(instance.pid);
    const where = isItsOwn ? ` at ${instance.url} (process ${instance.pid})` : '';
    throw new MailgressError(
      'already_running',
      `Mailgress already runs on ${dataDirectory}${where}; stop it, or set MAILGRESS_DATA_DIR to another directory`,
      { cause: error },
    );
  });
  const { url, owned } = embedded;
  return { url, adminToken, secretKeys, dataDirectory, owned, stop: () => embedded.stop() };
}

/**
 * The key to the API, for what has one.
 *
 * @throws MailgressError `configuration` without one.
 */
export function requireAdminToken({ adminToken }: OpenedDatabase): string {
  if (adminToken !== undefined) return adminToken;
  throw new MailgressError('configuration', 'MAILGRESS_ADMIN_TOKEN is required with DATABASE_URL');
}
