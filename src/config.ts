import { z } from 'zod';
import { MailgressError } from './core/errors.ts';

/**
 * The whole configuration, read once at start. Secrets that are absent here and the database is embedded are
 * generated into the data directory; see `cli/open-database.ts`.
 */
export type Config = {
  readonly database: { readonly kind: 'url'; readonly url: string } | { readonly kind: 'embedded' };
  readonly dataDirectory: string;
  readonly host: string;
  readonly port: number;
  /** Without a trailing slash; undefined: it follows from the address listened on. */
  readonly publicUrl: string | undefined;
  readonly adminToken: string | undefined;
  /** The first encrypts, all decrypt. */
  readonly secretKeys: readonly string[] | undefined;
  /** For `mailgress send --source`. */
  readonly sourceSecret: string | undefined;
  readonly egressAllow: readonly string[];
  readonly bodyLimitBytes: number;
  readonly logLevel: LogLevel;
};

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
type LogLevel = (typeof logLevels)[number];

const url = (protocols: readonly string[]) =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    error: `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  });

const integer = (min: number, max: number) =>
  z
    .string()
    .refine((text) => /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max, {
      error: `must be a whole number from ${min} to ${max}`,
    })
    .transform(Number);

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== ''),
);

/** Every variable that is read, with what it must look like. `.env.example` is held against this by a test. */
export const environmentSchema = z.object({
  DATABASE_URL: url(['postgres:', 'postgresql:']).optional(),
  MAILGRESS_DATA_DIR: z.string().default('.mailgress'),
  HOST: z.string().default('127.0.0.1'),
  PORT: integer(0, 65_535).default(8080),
  MAILGRESS_PUBLIC_URL: url(['http:', 'https:']).optional(),
  RENDER_EXTERNAL_URL: url(['http:', 'https:']).optional(),
  MAILGRESS_ADMIN_TOKEN: z
    .string()
    .regex(/^\S{24,}$/, { error: 'must have at least 24 characters, none of them a space' })
    .optional(),
  MAILGRESS_SECRET_KEY: list
    .refine((keys) => keys.length > 0 && keys.every((key) => key.length >= 32), {
      error: 'must have at least 32 characters (while rotating: "new,old", each of them)',
    })
    .optional(),
  MAILGRESS_SOURCE_SECRET: z.string().startsWith('whsec_', { error: 'must begin with whsec_' }).optional(),
  MAILGRESS_EGRESS_ALLOW: list.default([]),
  MAILGRESS_BODY_LIMIT_BYTES: integer(1024, 200_000_000).default(52_428_800),
  LOG_LEVEL: z.enum(logLevels, { error: `must be one of ${logLevels.join(', ')}` }).default('info'),
});

/**
 * Reads the environment.
 *
 * @throws MailgressError `configuration`, its message and `faults` naming every fault at once.
 */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  // Hosts and shells hand over "unset" as an empty string.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()));
  const parsed = environmentSchema.safeParse(given);
  const faults = parsed.success
    ? []
    : parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }));
  if (given.DATABASE_URL !== undefined) {
    for (const name of ['MAILGRESS_ADMIN_TOKEN', 'MAILGRESS_SECRET_KEY']) {
      if (given[name] === undefined) faults.push({ path: name, message: 'is required with DATABASE_URL' });
    }
  }
  if (!parsed.success || faults.length > 0) throw configurationError(faults);

  const variables = parsed.data;
  return {
    database:
      variables.DATABASE_URL === undefined
        ? { kind: 'embedded' }
        : { kind: 'url', url: variables.DATABASE_URL },
    dataDirectory: variables.MAILGRESS_DATA_DIR,
    host: variables.HOST,
    port: variables.PORT,
    publicUrl: (variables.MAILGRESS_PUBLIC_URL ?? variables.RENDER_EXTERNAL_URL)?.replace(/\/+$/, ''),
    adminToken: variables.MAILGRESS_ADMIN_TOKEN,
    secretKeys: variables.MAILGRESS_SECRET_KEY,
    sourceSecret: variables.MAILGRESS_SOURCE_SECRET,
    egressAllow: variables.MAILGRESS_EGRESS_ALLOW,
    bodyLimitBytes: variables.MAILGRESS_BODY_LIMIT_BYTES,
    logLevel: variables.LOG_LEVEL,
  };
}

function configurationError(faults: { path: string; message: string }[]): MailgressError {
  const lines = faults.map(({ path, message }) => `  ${path} ${message}`);
  return new MailgressError('configuration', `The configuration has faults:\n${lines.join('\n')}`, {
    faults,
  });
}
