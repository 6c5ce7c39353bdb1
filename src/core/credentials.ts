import { z } from 'zod';

/** How a provider is asked for mail. Kept sealed, as JSON; never answered and never logged. */
export const credentialsSchema = z.discriminatedUnion('type', [
  /** A person's consent: access tokens are had with it, by the client that asked for the consent. */
  z.strictObject({ type: z.literal('oauth'), refreshToken: z.string().min(1).max(4096) }),
  /** Google Workspace: the service account of `GOOGLE_SERVICE_ACCOUNT_JSON` reads in the name of the mailbox. */
  z.strictObject({ type: z.literal('service-account') }),
]);

export type Credentials = z.infer<typeof credentialsSchema>;
