import { randomBytes } from 'node:crypto';
import { readSchemaState, type SchemaState } from '../store/migrate.ts';
import { findMissingRights, hearsNotify, readServerFacts, type ServerFacts } from '../store/server-facts.ts';
import { describeStoreError, isAccessRefused } from '../store/unavailable.ts';
import type { DoctorTools } from './context.ts';
import { type Finding, fail, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

const area = 'database';
/** The first with NULLS NOT DISTINCT, by which a gap that is told of twice is one. */
const LEAST_MAJOR = 15;
/** Clocks that are kept by NTP differ by less. */
const CLOCK_WARN_MS = 5000;
/** Webhooks and pushes are refused when they are 5 minutes apart; half of that is no margin any more. */
const CLOCK_FAIL_MS = 150_000;
/** On its way through the server a word takes some milliseconds. */
const NOTIFY_PATIENCE_MS = 5000;
const NOT_LOOKED = 'what is stored was not looked at';

/** Whether the rest can be looked at: the first check of all, by itself. */
export function reachCheck({ database }: DoctorTools): Check {
  return {
    id: 'database.reach',
    area,
    subject: 'server',
    async look() {
      try {
        return judgeServer(await readServerFacts(database.sql));
      } catch (error) {
        const reason = describeStoreError(error);
        return isAccessRefused(error)
          ? fail(
              `refuses us: ${reason}; ${NOT_LOOKED}`,
              'set user, password and name of the database right in DATABASE_URL',
            )
          : fail(
              `out of reach: ${reason}; ${NOT_LOOKED}`,
              'look whether it runs, and whether host and port of DATABASE_URL are right',
            );
      }
    },
  };
}

function judgeServer({ major, version, isReadOnly }: ServerFacts): Finding {
  if (major < LEAST_MAJOR) {
    return fail(`PostgreSQL ${version} is too old`, `move to PostgreSQL ${LEAST_MAJOR} or later`);
  }
  if (isReadOnly) {
    return fail(`PostgreSQL ${version} takes no writes`, 'let DATABASE_URL name the primary, not a standby');
  }
  return ok(`PostgreSQL ${version}`);
}

/** What says whether the tables can be used; then the others are looked at. */
export function schemaChecks({ database: { sql } }: DoctorTools): Check[] {
  return [
    {
      id: 'database.rights',
      area,
      subject: 'rights',
      async look() {
        const missing = await findMissingRights(sql);
        if (missing.length === 0) return ok('all that are needed');
        const shown = missing.slice(0, 5).join('; ');
        const more = missing.length > 5 ? `; and ${missing.length - 5} more` : '';
        return fail(
          `the role lacks ${shown}${more}; ${NOT_LOOKED}`,
          'GRANT them, or connect as the role that ran `mailgress migrate`',
        );
      },
    },
    {
      id: 'database.schema',
      area,
      subject: 'migrations',
      look: async () => judgeSchema(await readSchemaState(sql)),
    },
  ];
}

function judgeSchema(schema: SchemaState): Finding {
  if (schema.state === 'current') return ok('up to date');
  if (schema.state === 'behind') {
    const what = schema.missing === 1 ? 'one migration' : `${schema.missing} migrations`;
    return fail(`${what} behind; ${NOT_LOOKED}`, 'run `mailgress migrate`, or start with `serve --migrate`');
  }
  return warn('ahead: a newer version has migrated it', 'bring this process to the newer version as well');
}

export function serverChecks({ database: { sql }, databaseUrl, settings }: DoctorTools): Check[] {
  return [
    {
      id: 'database.clock',
      area,
      subject: 'clock',
      async look() {
        const askedMs = Date.now();
        const { now } = await readServerFacts(sql);
        const answeredMs = Date.now();
        // Its answer was made at some time between.
        const offMs = Math.max(0, askedMs - now.getTime(), now.getTime() - answeredMs);
        const message = `${offMs < 1000 ? 'less than a second' : `${Math.round(offMs / 1000)} s`} apart from ours`;
        const advice = 'let NTP set the clocks of both machines: signatures and leases go by them';
        if (offMs > CLOCK_FAIL_MS) return fail(message, advice);
        return offMs > CLOCK_WARN_MS ? warn(message, advice) : ok(message);
      },
    },
    {
      id: 'database.notify',
      area,
      subject: 'notifications',
      async look() {
        const channel = `mailgress_doctor_${randomBytes(6).toString('hex')}`;
        if (await hearsNotify(databaseUrl, channel, NOTIFY_PATIENCE_MS)) return ok('come through');
        return warn(
          'do not come through: a pooler in transaction mode seems to stand between, and processes hear of each other a second late',
          settings.isEmbedded
            ? 'restart the service'
            : 'let DATABASE_URL lead to the server itself, or to a pooler in session mode',
        );
      },
    },
  ];
}
