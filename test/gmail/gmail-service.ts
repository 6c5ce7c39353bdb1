import { readConfig } from '../../src/config.ts';
import type { Id } from '../../src/core/ids.ts';
import type { ServiceOptions } from '../../src/service.ts';
import type { GmailWorld } from '../support/gmail/world.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

export const TOPIC = 'projects/test/topics/gmail';

/** A service that reads the world's Gmail; its limits are out of the way unless a test is about them. */
export function startGmailService(
  world: GmailWorld,
  options: Partial<ServiceOptions> & { env?: Record<string, string> } = {},
): Promise<TestService> {
  const { env, ...rest } = options;
  const { google } = readConfig({ GMAIL_TOPIC: TOPIC, ...world.env, ...env });
  return startTestService({
    google,
    gmailQuota: { unitsPerMinute: 1_000_000, projectUnitsPerMinute: 10_000_000 },
    scanIntervalMs: 50,
    ...rest,
  });
}

/** A mailbox of this account, and the source that reads it. */
export async function addGmailSource(
  service: TestService,
  world: GmailWorld,
  account: string,
  settings: Record<string, unknown> = {},
): Promise<{ id: Id<'src'>; mailboxId: Id<'mbx'> }> {
  const { body: mailbox } = await service.api('POST', '/v1/mailboxes', {
    address: account,
    tenant: settings.tenant ?? 'default',
  });
  const { tenant: _, ...rest } = settings;
  const { status, body } = await service.api('POST', `/v1/mailboxes/${mailbox.id}/sources`, {
    kind: 'gmail',
    auth: { type: 'oauth', refreshToken: world.refreshToken(account) },
    ...rest,
  });
  if (status !== 201) throw new Error(`POST sources: ${status} ${JSON.stringify(body)}`);
  return { id: body.id, mailboxId: mailbox.id };
}

/** All that a list of the API has, in its order. */
export async function all(service: TestService, path: string): Promise<Answer['body'][]> {
  const rows: Answer['body'][] = [];
  for (let after: string | null = ''; after !== null; ) {
    const query: string = `${path.includes('?') ? '&' : '?'}limit=500${after === '' ? '' : `&after=${after}`}`;
    const { body } = await service.api('GET', `${path}${query}`);
    rows.push(...body.data);
    after = body.next;
  }
  return rows;
}

/** The provider's ids of what is stored of a mailbox, sorted. */
export async function storedIds(service: TestService, mailboxId: string): Promise<string[]> {
  return (await all(service, `/v1/messages?mailbox=${mailboxId}`)).map(({ providerId }) => providerId).sort();
}
