import { z } from 'zod';

export const oauthProviderSchema = z.enum(['google', 'microsoft']);
export type OAuthProvider = z.infer<typeof oauthProviderSchema>;

type Client = { readonly id: string; readonly secret: string };

/** Who asks for the consent, and where: as `config.ts` has it. */
export type OAuthSettings = {
  readonly google: {
    readonly client: Client | undefined;
    readonly tokenUrl: string;
    readonly certsUrl: string;
    readonly issuer: string;
  };
  readonly microsoft: {
    readonly client: Client | undefined;
    readonly tenant: string;
    readonly tokenUrl: string;
  };
};

/** The claims of an id token, as far as they tell whose mailbox it is. */
const claimsSchema = z.object({
  email: z.string().optional(),
  email_verified: z.union([z.boolean(), z.string()]).optional(),
  preferred_username: z.string().optional(),
});

export type Provider = {
  /** As people know it. */
  title: string;
  /** Where the owner of the service registers it. */
  clientVariables: readonly [string, string];
  scope: string;
  /** What the authorization endpoint is asked beside what OAuth has. */
  parameters: Readonly<Record<string, string>>;
  /** What mail is read with, as the provider shows it to the person who is asked. */
  mailScope: { name: string; shownAs: string };
  /** How a person takes back what was granted, so that it can be granted whole. */
  revokeAt: string;
  /** The addresses that the account proves to have; the first is what it is called. Empty: none is proven. */
  provenAddresses(claims: unknown): string[];
};

export const PROVIDERS: Readonly<Record<OAuthProvider, Provider>> = {
  google: {
    title: 'Google',
    clientVariables: ['GOOGLE_CLIENT_ID', 'GOOGLE_CLIENT_SECRET'],
    scope: 'openid email https://www.googleapis.com/auth/gmail.readonly',
    // A refresh token comes for offline access alone, and a second time only with a second consent.
    parameters: { access_type: 'offline', prompt: 'consent' },
    mailScope: {
      name: 'https://www.googleapis.com/auth/gmail.readonly',
      shownAs: 'View your email messages and settings',
    },
    revokeAt: 'https://myaccount.google.com/connections',
    provenAddresses(claims) {
      const { email, email_verified: verified } = claimsSchema.parse(claims);
      // Some versions of Google's tokens have it as a string.
      return email !== undefined && (verified === true || verified === 'true') ? [email] : [];
    },
  },
  microsoft: {
    title: 'Microsoft',
    clientVariables: ['MICROSOFT_CLIENT_ID', 'MICROSOFT_CLIENT_SECRET'],
    // `profile` brings preferred_username: accounts of an organisation need not have an email claim.
    scope: 'offline_access openid email profile https://outlook.office.com/IMAP.AccessAsUser.All',
    parameters: { prompt: 'select_account' },
    mailScope: {
      name: 'https://outlook.office.com/IMAP.AccessAsUser.All',
      shownAs: 'Read and write access to mailboxes via IMAP',
    },
    revokeAt: 'https://account.microsoft.com/privacy/app-access',
    /*
     * Microsoft has no email_verified, and a directory's administrator may write any email. That opens nothing: the
     * name is held against the mailbox here, and against the token again by Outlook when it logs in with both.
     */
    provenAddresses(claims) {
      const { email, email_verified: verified, preferred_username: name } = claimsSchema.parse(claims);
      const isDenied = verified === false || verified === 'false';
      return [name, isDenied ? undefined : email].filter((one) => one !== undefined).filter(isAddress);
    },
  },
};

/** Microsoft's user names may be phone numbers, or just words. */
function isAddress(text: string): boolean {
  return text.includes('@');
}

/** Whether a granted scope (RFC 6749, 3.3: separated by spaces) has what mail is read with. */
export function isMailGranted(provider: Provider, granted: string): boolean {
  const needed = provider.mailScope.name.toLowerCase();
  // Microsoft answers scopes in letters of another case now and then.
  return granted.toLowerCase().split(' ').includes(needed);
}
