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
  /** A key for `/metrics` alone. */
  readonly metricsToken: string | undefined;
  /** The first encrypts, all decrypt. */
  readonly secretKeys: readonly string[] | undefined;
  /** For `mailgress send --source`. */
  readonly sourceSecret: string | undefined;
  readonly egressAllow: readonly string[];
  readonly bodyLimitBytes: number;
  /** Mails a second that a source may push; 0: no limit. */
  readonly mailsPerSecond: number;
  /** What a push token must carry; undefined: the route answers that it is not configured. */
  readonly pubsub: { readonly audience: string; readonly serviceAccount: string } | undefined;
  readonly google: GoogleConfig;
  readonly microsoft: MicrosoftConfig;
  readonly logLevel: LogLevel;
};

/** How Gmail is read. Every address has the real one as its default. */
export type GoogleConfig = {
  /** The OAuth client whose consents are read with. */
  readonly client: OAuthClientConfig | undefined;
  /** For reading in the name of a Workspace's users. */
  readonly serviceAccount: { readonly email: string; readonly privateKey: string } | undefined;
  /** `projects/P/topics/T`; undefined: no watch, mailboxes are polled. */
  readonly topic: string | undefined;
  readonly apiUrl: string;
  readonly tokenUrl: string;
  /** Answers the JWKS that push tokens are verified with. */
  readonly certsUrl: string;
  readonly issuer: string;
};

export type OAuthClientConfig = { readonly id: string; readonly secret: string };

export type MicrosoftConfig = {
  readonly client: OAuthClientConfig | undefined;
  /** A directory, or `common`. */
  readonly tenant: string;
  readonly tokenUrl: string;
};

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
type LogLevel = (typeof logLevels)[number];

const url = (protocols: readonly string[]) =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    error: `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  });

/** Lines, logs and pages show it. */
const publicUrl = url(['http:', 'https:']).refine(
  (text) => {
    const parsed = URL.parse(text);
    return !parsed?.username && !parsed?.password;
  },
  { error: 'must have no user name and password in it' },
);

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

/** The JSON file that Google gives for a key of a service account; two of its fields are needed. */
const serviceAccountKey = z.string().transform((text, context) => {
  try {
    const { client_email: email, private_key: privateKey } = JSON.parse(text);
    if (typeof email === 'string' && typeof privateKey === 'string') return { email, privateKey };
  } catch {
    // Said below: the parser's own sentence would quote the key.
  }
  context.addIssue({
    code: 'custom',
    message: 'must be the JSON of a service account key, with client_email and private_key',
  });
  return z.NEVER;
});

/** Every variable that is read, with what it must look like. `.env.example` is held against this by a test. */
export const environmentSchema = z.object({
  DATABASE_URL: url(['postgres:', 'postgresql:']).optional(),
  MAILGRESS_DATA_DIR: z.string().default('.mailgress'),
  HOST: z.string().default('127.0.0.1'),
  PORT: integer(0, 65_535).default(8080),
  MAILGRESS_PUBLIC_URL: publicUrl.optional(),
  RENDER_EXTERNAL_URL: url(['http:', 'https:']).optional(),
  MAILGRESS_ADMIN_TOKEN: z
    .string()
    .regex(/^\S{24,}$/, { error: 'must have at least 24 characters, none of them a space' })
    .optional(),
  MAILGRESS_METRICS_TOKEN: z
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
  MAILGRESS_SOURCE_MAILS_PER_SECOND: integer(0, 1_000_000).default(100),
  MAILGRESS_PUBSUB_AUDIENCE: z.string().optional(),
  MAILGRESS_PUBSUB_SERVICE_ACCOUNT: z.email({ error: 'must be the address of a service account' }).optional(),
  GMAIL_TOPIC: z
    .string()
    .regex(/^projects\/[^/\s]+\/topics\/[^/\s]+$/, {
      error: 'must look like projects/my-project/topics/my-topic',
    })
    .optional(),
  GOOGLE_CLIENT_ID: z.string().optional(),
  GOOGLE_CLIENT_SECRET: z.string().optional(),
  GOOGLE_SERVICE_ACCOUNT_JSON: serviceAccountKey.optional(),
  GOOGLE_API_URL: url(['http:', 'https:']).default('https://gmail.googleapis.com/'),
  GOOGLE_TOKEN_URL: url(['http:', 'https:']).default('https://oauth2.googleapis.com/token'),
  GOOGLE_OIDC_CERTS_URL: url(['http:', 'https:']).default('https://www.googleapis.com/oauth2/v3/certs'),
  GOOGLE_OIDC_ISSUER: url(['http:', 'https:']).default('https://accounts.google.com'),
  MICROSOFT_CLIENT_ID: z.string().optional(),
  MICROSOFT_CLIENT_SECRET: z.string().optional(),
  MICROSOFT_TENANT: z
    .string()
    .regex(/^[A-Za-z0-9.-]+$/, { error: 'must be a directory (tenant) id or domain, or common' })
    .default('common'),
  MICROSOFT_TOKEN_URL: url(['http:', 'https:']).optional(),
  LOG_LEVEL: z.enum(logLevels, { error: `must be one of ${logLevels.join(', ')}` }).default('info'),
});

/** Variables that mean something only together. */
const PAIRS = [
  ['MAILGRESS_PUBSUB_AUDIENCE', 'MAILGRESS_PUBSUB_SERVICE_ACCOUNT'],
  ['GOOGLE_CLIENT_ID', 'GOOGLE_CLIENT_SECRET'],
  ['MICROSOFT_CLIENT_ID', 'MICROSOFT_CLIENT_SECRET'],
] as const;

/**
 * Reads the environment.
 *
 * @param options.serves what is run has an API, which needs a key.
 * @throws MailgressError `configuration`, its message and `faults` naming every fault at once.
 */
export function readConfig(
  environment: NodeJS.ProcessEnv = process.env,
  { serves = false }: { serves?: boolean } = {},
): Config {
  // Hosts and shells hand over "unset" as an empty string.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()));
  const parsed = environmentSchema.safeParse(given);
  const faults = parsed.success
    ? []
    : parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }));
  if (given.DATABASE_URL !== undefined) {
    for (const name of [...(serves ? ['MAILGRESS_ADMIN_TOKEN'] : []), 'MAILGRESS_SECRET_KEY']) {
      if (given[name] === undefined) faults.push({ path: name, message: 'is required with DATABASE_URL' });
    }
  }
  for (const pair of PAIRS) {
    const [missing, ...others] = pair.filter((name) => given[name] === undefined);
    if (missing === undefined || others.length > 0) continue;
    faults.push({ path: missing, message: `is required with ${pair.find((name) => name !== missing)}` });
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
    metricsToken: variables.MAILGRESS_METRICS_TOKEN,
    secretKeys: variables.MAILGRESS_SECRET_KEY,
    sourceSecret: variables.MAILGRESS_SOURCE_SECRET,
    egressAllow: variables.MAILGRESS_EGRESS_ALLOW,
    bodyLimitBytes: variables.MAILGRESS_BODY_LIMIT_BYTES,
    mailsPerSecond: variables.MAILGRESS_SOURCE_MAILS_PER_SECOND,
    ...readProviders(variables),
    logLevel: variables.LOG_LEVEL,
  };
}

function readProviders(
  variables: z.infer<typeof environmentSchema>,
): Pick<Config, 'pubsub' | 'google' | 'microsoft'> {
  const { MAILGRESS_PUBSUB_AUDIENCE: audience, MAILGRESS_PUBSUB_SERVICE_ACCOUNT: serviceAccount } = variables;
  const client = (id: string | undefined, secret: string | undefined) =>
    id === undefined || secret === undefined ? undefined : { id, secret };
  const tenant = variables.MICROSOFT_TENANT;
  return {
    pubsub: audience === undefined || serviceAccount === undefined ? undefined : { audience, serviceAccount },
    google: {
      client: client(variables.GOOGLE_CLIENT_ID, variables.GOOGLE_CLIENT_SECRET),
      serviceAccount: variables.GOOGLE_SERVICE_ACCOUNT_JSON,
      topic: variables.GMAIL_TOPIC,
      apiUrl: variables.GOOGLE_API_URL,
      tokenUrl: variables.GOOGLE_TOKEN_URL,
      certsUrl: variables.GOOGLE_OIDC_CERTS_URL,
      issuer: variables.GOOGLE_OIDC_ISSUER,
    },
    microsoft: {
      client: client(variables.MICROSOFT_CLIENT_ID, variables.MICROSOFT_CLIENT_SECRET),
      tenant,
      tokenUrl:
        variables.MICROSOFT_TOKEN_URL ?? `https://login.microsoftonline.com/${tenant}/oauth2/v2.0/token`,
    },
  };
}

function configurationError(faults: { path: string; message: string }[]): MailgressError {
  const lines = faults.map(({ path, message }) => `  ${path} ${message}`);
  return new MailgressError('configuration', `The configuration has faults:\n${lines.join('\n')}`, {
    faults,
  });
}
