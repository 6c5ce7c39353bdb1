import { MailgressError } from '../core/errors.ts';
import { type Endpoint, endpointSchema } from '../core/resources.ts';
import type { Client } from './client.ts';
import { visible } from './print.ts';

/** @throws as `Client.call`. */
export async function findEndpoint(client: Client, id: string): Promise<Endpoint> {
  return endpointSchema.parse(await client.call('GET', `/v1/endpoints/${encodeURIComponent(id)}`));
}

/** That the endpoint is disabled, why, what that means here, and what to do; undefined if it is not. */
export function describeDisabled(
  { id, enabled, disabledReason }: Endpoint,
  meaning: string,
): string | undefined {
  if (enabled) return undefined;
  const reason = visible(disabledReason ?? 'no reason is known');
  return `Endpoint ${id} is disabled (${reason}): ${meaning} until \`mailgress endpoint update ${id} --enable\``;
}

/**
 * Looks whether something can be sent, before it is waited for.
 *
 * @param meaning what does not happen until it is enabled.
 * @throws MailgressError `conflict` if the endpoint is disabled; and as `Client.call`.
 */
export async function expectEnabled(client: Client, id: string, meaning: string): Promise<void> {
  const fault = describeDisabled(await findEndpoint(client, id), meaning);
  if (fault !== undefined) throw new MailgressError('conflict', fault);
}
