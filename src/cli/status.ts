import type { Command } from 'commander';
import { z } from 'zod';
import { endpointSchema, sourceSchema } from '../core/resources.ts';
import { clientCommand, listAll, withClient } from './client-command.ts';
import { ago, colour, say, sayJson, table } from './print.ts';

/** `status`: is it well, source by source and endpoint by endpoint. */
export function addStatusCommand(program: Command): void {
  clientCommand(program, 'status', 'Say how the service, its sources and its endpoints are').action(
    withClient(async (client, options) => {
      const { status } = z.object({ status: z.string() }).parse(await client.call('GET', '/readyz'));
      const sources = await listAll(client, '/v1/sources', sourceSchema);
      const endpoints = await listAll(client, '/v1/endpoints', endpointSchema);
      if (options.json) return sayJson({ url: client.url, status, sources, endpoints });

      const now = new Date();
      say(`${client.url}  ${colour('green', 'ready')}`, '');
      say(
        ...table(
          ['SOURCE', 'KIND', 'STATE', 'LAST MAIL', 'ALIVE', 'LAG', 'FAILED', 'GAPS'],
          sources.map((source) => [
            source.address,
            source.kind,
            source.state,
            ago(source.lastMessageAt, now),
            ago(source.lastProvenAliveAt, now),
            String(source.lag),
            String(source.counts.failed),
            String(source.counts.openGaps),
          ]),
        ),
        ...sources
          .filter(({ reason }) => reason !== null)
          .map(({ address, kind, reason }) => colour('red', `  ${address} (${kind}): ${reason}`)),
        '',
        ...table(
          ['ENDPOINT', 'STATE'],
          endpoints.map(({ url, enabled, disabledReason }) => [
            url,
            enabled ? 'enabled' : `disabled: ${disabledReason}`,
          ]),
        ),
      );
    }),
  );
}
