import { createLoginMemory, type DoctorTools } from './doctor/context.ts';
import { createGmailAccess } from './gmail/access.ts';
import { type Base, type CoreOptions, imapOptions } from './service-base.ts';

/** What the doctor needs beside what every process has. */
export type DoctorOptions = CoreOptions & {
  adminToken: string | undefined;
  pubsub?: { audience: string; serviceAccount: string } | undefined;
  /** What may stand in no line, of the settings that are not looked at. */
  secrets: readonly (string | undefined)[];
};

/**
 * The doctor's parts, on a database that is open.
 *
 * @param publicUrl asked for at each run: a service knows it once it listens.
 */
export function doctorTools(options: DoctorOptions, base: Base, publicUrl: () => string): () => DoctorTools {
  const { databaseUrl, allowLoopback, secretKeys, egressAllow, google, microsoft, pubsub, version } = options;
  const { access, connect } = imapOptions(options, base);
  const gmail = createGmailAccess(google);
  const logins = createLoginMemory();
  return () => ({
    ...base,
    databaseUrl,
    gmail,
    imap: { access, connect },
    settings: {
      publicUrl: publicUrl(),
      isEmbedded: allowLoopback,
      secretKeys,
      egressAllow,
      pubsub,
      google,
      hasAdminToken: options.adminToken !== undefined,
      secrets: [options.adminToken, ...options.secrets, microsoft.client?.secret],
    },
    version,
    logins,
  });
}
