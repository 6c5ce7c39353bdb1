import type { MailgressError } from '../core/errors.ts';
import { countSealed } from '../store/secrets.ts';
import type { DoctorContext, DoctorTools } from './context.ts';
import type { Secrets } from './hide-secrets.ts';
import { type Finding, fail, type Line, ok, warn } from './report.ts';
import { type Check, toLine } from './run-checks.ts';

const area = 'configuration';

/** What can be said of settings that are well-formed; those that are not let nothing run at all. */
export function configurationChecks({ settings }: Pick<DoctorTools, 'settings'>): Check[] {
  return [
    {
      id: 'configuration.environment',
      area,
      subject: 'environment',
      look: () => judgeEnvironment(settings),
    },
    {
      id: 'configuration.secret-key',
      area,
      subject: 'secret key',
      look: () =>
        settings.secretKeys.length === 1
          ? ok('one key')
          : warn(
              `${settings.secretKeys.length} keys: the first one seals, the others open what is still sealed with them`,
              'once `serve` has started with them, and the stored secrets open, leave the first one alone in MAILGRESS_SECRET_KEY',
            ),
    },
  ];
}

function judgeEnvironment({ hasAdminToken, isEmbedded }: DoctorTools['settings']): Finding {
  if (!hasAdminToken) {
    return warn(
      'enough for `mailgress worker` alone',
      'where `mailgress serve` runs, set MAILGRESS_ADMIN_TOKEN as well, to at least 24 characters',
    );
  }
  return ok(isEmbedded ? 'complete; the database is the embedded one' : 'complete');
}

/** Whether what is stored can be opened with the keys that there are. */
export function storedSecretsCheck({ database, keyring }: DoctorContext): Check {
  return {
    id: 'configuration.stored-secrets',
    area,
    subject: 'stored secrets',
    async look() {
      const { total, closed } = await countSealed(database.sql, keyring);
      if (closed === 0) return ok(total === 0 ? 'none yet' : `${total}, and the key opens them`);
      return fail(
        `${closed} of ${total} were sealed with another key`,
        'add the key of before to MAILGRESS_SECRET_KEY, behind a comma; without it, give the sources and endpoints their credentials anew',
      );
    },
  };
}

/** A line for each fault of a configuration that cannot be read. */
export function configurationFaults(error: MailgressError, secrets: Secrets): Line[] {
  const faults = error.faults.length > 0 ? error.faults : [{ path: 'environment', message: error.message }];
  return faults.map(({ path, message }, at) =>
    toLine(
      { id: `configuration.${path}${at === 0 ? '' : `.${at}`}`, area, subject: path },
      fail(message, 'set it right in the environment, and look again; nothing else was looked at'),
      secrets,
    ),
  );
}
