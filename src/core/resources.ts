import { z } from 'zod';
import { imapProviderSchema } from './imap-providers.ts';
import { authenticationSchema, placementSchema, sourceKindSchema, spamFilterSchema } from './message.ts';
import { rulesSchema } from './rules.ts';

/*
 * The resources as the API answers them and as events carry them: one shape for both, so that they cannot drift
 * apart. Times are ISO 8601 UTC with milliseconds.
 */

const time = z.iso.datetime();

export const mailboxSchema = z
  .object({
    id: z.string(),
    tenant: z.string(),
    address: z.string(),
    authenticationServers: z
      .array(z.string())
      .describe(
        'Servers (authserv-id, exactly) whose Authentication-Results count for its mail; one of a known provider makes its rules count',
      ),
    createdAt: time,
  })
  .meta({ id: 'Mailbox' });

export const sourceStateSchema = z.enum([
  'disconnected',
  'connecting',
  'connected',
  'authenticating',
  'authenticated',
  'idle',
  'polling',
  'syncing',
  'standby',
  'backoff',
  'error',
  'needs_reauth',
  'disabled',
]);

/** What the owner of a source of kind gmail may choose. */
export const gmailSettingsSchema = z.strictObject({
  sent: z.boolean().optional().describe('Also mail that was sent and is not in the inbox; not without'),
});

/** How a source of kind imap reads, without its secrets. */
export const imapStateSchema = z
  .object({
    provider: imapProviderSchema,
    host: z.string().nullable(),
    port: z.int().nullable(),
    security: z.enum(['tls', 'starttls', 'none']),
    user: z.string().nullable(),
    standby: z.boolean().describe('Sleeps while another source of the mailbox is alive'),
    folders: z
      .array(
        z.object({
          path: z.string(),
          role: z.string().nullable().describe('Its special use, as RFC 6154 has it'),
          uidValidity: z.int(),
          uid: z.int().describe('Everything up to it is stored, or has a stub'),
          error: z.string().nullable().describe('Why it could not be opened'),
          parkedUntil: time.nullable().describe('It was refused several times, and is left alone until then'),
        }),
      )
      .describe('Those that have been read, and how far'),
  })
  .meta({ id: 'ImapState' });

export const sourceSchema = z
  .object({
    id: z.string(),
    tenant: z.string(),
    mailboxId: z.string(),
    address: z.string(),
    kind: sourceKindSchema,
    wanted: z.boolean().describe('What start and stop set'),
    state: sourceStateSchema,
    mode: z.enum(['push', 'idle', 'poll', 'standby']),
    reason: z.string().nullable(),
    cursor: z
      .string()
      .nullable()
      .describe('How far it has read: the greatest history id acknowledged; of imap a UID in each folder'),
    script: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('What the pushing script last said of itself'),
    imap: imapStateSchema.nullable().describe('Of kind imap alone'),
    lag: z.int().describe('Mails known of that are not stored yet'),
    leaseHolder: z.string().nullable().describe('The process that works on it'),
    nextAttemptAt: time
      .nullable()
      .describe('When it is looked at next without being told; null of pushing programs'),
    lastProvenAliveAt: time.nullable(),
    lastMessageAt: time.nullable(),
    counts: z.object({
      failed: z.int().describe('Mails given up, kept as stubs with their error'),
      missing: z.int().describe('Mails that were gone when fetched'),
      openGaps: z.int(),
    }),
    createdAt: time,
  })
  .meta({ id: 'Source' });

/** A stretch of history that a source could not read. A wish to read old mail (`requested`) is kept alike. */
export const gapSchema = z
  .object({
    id: z.string(),
    sourceId: z.string(),
    reason: z.string(),
    from: z.string().nullable(),
    to: z.string().nullable(),
    since: time.nullable().describe('From when on mail is listed to fill it'),
    recoveredBy: z.string().nullable(),
    listed: z.int().describe('Mails that were looked at to fill it'),
    recovered: z.int().describe('Mails of them that were not stored before, and are now'),
    openedAt: time,
    recoveredAt: time.nullable(),
  })
  .meta({ id: 'Gap' });

/** A mail that is not stored (yet), and why. */
export const stubSchema = z
  .object({
    id: z.string(),
    providerId: z.string().describe("The provider's id, or a hash of what was sent without a readable one"),
    status: z.enum(['pending', 'missing', 'failed']),
    error: z.string().nullable(),
    attempts: z.int(),
    createdAt: time,
    updatedAt: time,
  })
  .meta({ id: 'Stub' });

/** What an endpoint can ask for. `endpoint.test` is sent on request, to one endpoint, whatever its types. */
export const eventTypeSchema = z.enum([
  'message.received',
  'source.state_changed',
  'source.silent',
  'source.recovered',
  'source.disabled',
  'gap.opened',
  'gap.recovered',
  'endpoint.disabled',
  'probe.completed',
  'probe.expired',
]);

export const endpointSchema = z
  .object({
    id: z.string(),
    tenant: z.string().nullable().describe('Null: events of all tenants'),
    url: z.string(),
    description: z.string(),
    types: z.array(eventTypeSchema),
    rules: rulesSchema.describe('Which events are sent, and when; everything given must hold'),
    order: z
      .enum(['mailbox'])
      .nullable()
      .describe(
        'mailbox: the mails of a mailbox one after the other, the next when the last was taken or given up',
      ),
    maxInFlight: z.int(),
    ratePerSecond: z.int().nullable().describe('Webhooks a second at most; null: as many as it takes'),
    headerNames: z.array(z.string()).describe('Headers of its own that each webhook carries'),
    enabled: z.boolean(),
    disabledReason: z.string().nullable(),
    failingSince: time
      .nullable()
      .describe('Since when it has done nothing but fail; after 5 days it is disabled'),
    createdAt: time,
  })
  .meta({ id: 'Endpoint' });

/** `skipped`: a rule left it out; it can be retried or replayed. */
export const deliveryStatusSchema = z.enum(['pending', 'succeeded', 'failed', 'skipped']);

export const deliverySchema = z
  .object({
    id: z.string(),
    endpointId: z.string(),
    eventId: z.string().describe('The webhook-id of every attempt'),
    eventType: z.string(),
    messageId: z.string().nullable(),
    replayId: z.string().nullable().describe('The replay that sent it again'),
    status: deliveryStatusSchema,
    rule: z.string().nullable().describe('Which rule left it out, or holds it for now'),
    attemptCount: z.int(),
    nextAttemptAt: time
      .nullable()
      .describe('Null when none is to come, one is under way, or it waits for another of its mailbox'),
    lastStatusCode: z.int().nullable(),
    lastError: z.string().nullable(),
    createdAt: time,
    completedAt: time.nullable(),
  })
  .meta({ id: 'Delivery' });

/** Old events on their way to an endpoint again. */
export const replaySchema = z
  .object({
    id: z.string(),
    endpointId: z.string(),
    since: time,
    until: time,
    mailboxId: z.string().nullable(),
    ignoreRules: z.boolean(),
    status: z.enum(['running', 'completed', 'cancelled']).describe('completed: none of them waits any more'),
    total: z.int().describe('Events there were to send when it was asked for'),
    queued: z.int().describe('Of them, those that have become deliveries so far'),
    sent: z.int().describe('Of these, those that the endpoint took'),
    skipped: z.int().describe('Left out by a rule, or by the end of the replay'),
    failed: z.int().describe('Given up after the last try'),
    createdAt: time,
    completedAt: time.nullable(),
  })
  .meta({ id: 'Replay' });

export const attemptSchema = z
  .object({
    id: z.string(),
    startedAt: time,
    durationMs: z.int(),
    statusCode: z.int().nullable(),
    errorCode: z.string().nullable(),
    error: z.string().nullable(),
    responseExcerpt: z.string().nullable().describe('The first 1 KiB of the answer'),
  })
  .meta({ id: 'Attempt' });

/** A mail sent to see where it arrives. */
export const probeSchema = z.object({
  id: z.string(),
  token: z.string().describe('What the mail carries, so that it is known again'),
  status: z.enum(['open', 'completed', 'expired']),
  expiresAt: time,
  results: z.array(
    z.object({
      mailboxId: z.string(),
      address: z.string(),
      placement: z.union([placementSchema, z.enum(['missing', 'pending'])]),
      messageId: z.string().nullable(),
      delayMs: z.int().nullable(),
      authentication: authenticationSchema.nullable(),
      spamFilters: z.array(spamFilterSchema),
    }),
  ),
});

export type Mailbox = z.infer<typeof mailboxSchema>;
export type Source = z.infer<typeof sourceSchema>;
export type Stub = z.infer<typeof stubSchema>;
export type Gap = z.infer<typeof gapSchema>;
export type EventType = z.infer<typeof eventTypeSchema>;
export type Endpoint = z.infer<typeof endpointSchema>;
export type Delivery = z.infer<typeof deliverySchema>;
export type DeliveryStatus = z.infer<typeof deliveryStatusSchema>;
export type Replay = z.infer<typeof replaySchema>;
export type Attempt = z.infer<typeof attemptSchema>;

/** What became of each mail of a push, in the order sent. */
export const resultsSchema = z
  .object({
    results: z.array(
      z.object({
        id: z.string().nullable().describe("The provider's id as it was sent"),
        status: z.enum(['accepted', 'duplicate', 'rejected']),
        messageId: z.string().optional().describe('The message it is stored as'),
        reason: z.string().optional(),
      }),
    ),
  })
  .meta({ id: 'IngestResults' });

/** RFC 9457, with a stable `code` and, for bad input, where it is bad. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().describe('Stable: build on this one'),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });
