import type { GoogleConfig, MicrosoftConfig, OAuthClientConfig } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import { IMAP_PRESETS, type ImapPreset } from '../core/imap-providers.ts';
import type { ImapCredentials, ImapSettings } from '../core/imap-settings.ts';
import type { ImapAuth, ImapServer } from '../sources/imap/connection.ts';
import { ImapError, toImapError } from '../sources/imap/imap-error.ts';
import { cleanServerText } from '../sources/imap/server-text.ts';
import {
  type AccessTokens,
  createAccessTokens,
  GrantError,
  type TokenOptions,
} from '../sources/oauth/access-tokens.ts';

/** Where an account is, and how it is logged in to. */
export type ImapAccess = {
  preset: ImapPreset;
  server: Omit<ImapServer, 'auth'>;
  /**
   * What the next login is made with: a token that has just been made, where it goes by one.
   *
   * @throws ImapError `needs_reauth` when the consent is gone; `network` or `internal`.
   */
  auth(signal: AbortSignal): Promise<ImapAuth>;
};

export type AccessOptions = {
  google: GoogleConfig;
  microsoft: MicrosoftConfig;
  /** Posts to a token URL that a user named. */
  post: NonNullable<TokenOptions['post']>;
  /** Whether a token URL's host may be talked to in clear text; a mail server's is judged where it is dialled. */
  isTrusted: (host: string) => Promise<boolean>;
};

/** Where the settings lead. `host` is undefined for a provider that is not known, and none named. */
export function serverOf({
  provider,
  host,
  port,
  security = IMAP_PRESETS[provider].security,
}: ImapSettings): {
  host: string | undefined;
  port: number;
  security: ImapServer['security'];
} {
  const preset = IMAP_PRESETS[provider];
  return { host: host ?? preset.host, port: port ?? (security === 'tls' ? preset.port : 143), security };
}

/**
 * @param onRotated told of a refresh token that came in the place of the one given.
 * @throws MailgressError `bad_request` without a host, `oauth_not_configured`, `egress_blocked` for a token URL in clear text; ImapError
 *   `network` for a name that DNS does not tell.
 */
export async function openAccess(
  settings: ImapSettings,
  credentials: ImapCredentials,
  options: AccessOptions,
  onRotated?: (refreshToken: string) => Promise<void>,
): Promise<ImapAccess> {
  const preset = IMAP_PRESETS[settings.provider];
  const { host, port, security } = serverOf(settings);
  if (host === undefined)
    throw new MailgressError('bad_request', 'An imap source of no known provider needs a host');
  const server = { host, port, security, advice: preset.advice };
  if (credentials.type === 'password') {
    const { user, password: pass } = credentials;
    return { preset, server, auth: async () => ({ user, pass }) };
  }
  const { user, tokenUrl, refreshToken, clientSecret = '' } = credentials;
  if (tokenUrl?.startsWith('http:') && !(await isTrusted(new URL(tokenUrl).hostname, options))) {
    throw new MailgressError('egress_blocked', 'tokenUrl must be https: the refresh token is a secret');
  }
  const tokens = createTokens(credentials, options, onRotated);
  const throwWithout = (error: unknown) => throwImapError(error, [refreshToken, clientSecret]);
  return {
    preset,
    server,
    auth: async (signal) => ({ user, accessToken: await tokens.get(signal).catch(throwWithout) }),
  };
}

/** A name that is not found is a matter of the network, here as where it is dialled. */
async function isTrusted(host: string, options: AccessOptions): Promise<boolean> {
  try {
    return await options.isTrusted(host);
  } catch (error) {
    if (error instanceof MailgressError) throw error;
    throw toImapError(error, { host, phase: 'connect', isOauth: false });
  }
}

function createTokens(
  credentials: Extract<ImapCredentials, { type: 'oauth' }>,
  { google, microsoft, post }: AccessOptions,
  onRotated: ((refreshToken: string) => Promise<void>) | undefined,
): AccessTokens {
  const { provider, refreshToken } = credentials;
  const grantOf = (client: { id: string; secret: string | undefined }) =>
    ({ kind: 'refresh-token', refreshToken, client }) as const;
  const rotation = onRotated === undefined ? {} : { onRotated };
  if (provider === 'google')
    return createAccessTokens(google.tokenUrl, grantOf(clientOf(google, 'GOOGLE')), rotation);
  if (provider === 'microsoft') {
    return createAccessTokens(microsoft.tokenUrl, grantOf(clientOf(microsoft, 'MICROSOFT')), rotation);
  }
  const { tokenUrl, clientId, clientSecret } = credentials;
  if (tokenUrl === undefined || clientId === undefined) {
    throw new MailgressError('bad_request', 'auth of provider custom needs tokenUrl and clientId');
  }
  return createAccessTokens(tokenUrl, grantOf({ id: clientId, secret: clientSecret }), { ...rotation, post });
}

function clientOf({ client }: { client: OAuthClientConfig | undefined }, prefix: string): OAuthClientConfig {
  if (client !== undefined) return client;
  const variables = `${prefix}_CLIENT_ID and ${prefix}_CLIENT_SECRET`;
  throw new MailgressError('oauth_not_configured', `To log in this way the service needs ${variables}`);
}

const FAULTS = { consent_gone: 'needs_reauth', not_allowed: 'internal', unavailable: 'network' } as const;

/** @param secrets what a token endpoint may quote when it refuses them. */
function throwImapError(error: unknown, secrets: readonly string[]): never {
  if (error instanceof GrantError) {
    const said = cleanServerText(error.message, secrets);
    // The guard's own sentence has a code of its own, for whoever asked for the source.
    const cause = error.cause instanceof MailgressError ? error.cause : new GrantError(error.kind, said);
    throw new ImapError(FAULTS[error.kind], `no access token: ${said}`, { cause });
  }
  throw error;
}
