import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { EVENTS } from '../core/event-data.ts';

/** What `/openapi.json` says beside the routes. */
export function documentOf(version: string) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Mailgress',
      version,
      description: 'New mail, stored once, delivered as signed webhooks.',
    },
    security: [{ key: [] }],
  };
}

/** The headers of each webhook, as Standard Webhooks name them. */
const headers = z.object({
  'webhook-id': z.string().describe('The id of the event: the same on every try and every replay'),
  'webhook-timestamp': z.string().describe('When this try was made, in seconds since 1970'),
  'webhook-signature': z
    .string()
    .describe(
      '`v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`; while a secret is rotated, one for each that counts',
    ),
});

/** The key, and every event that is sent, so that types can be made of them for consumers too. */
export function describeWebhooks(registry: OpenAPIHono['openAPIRegistry']): void {
  registry.registerComponent('securitySchemes', 'key', { type: 'http', scheme: 'bearer' });
  for (const [type, { summary, data }] of Object.entries(EVENTS)) {
    const schema = z.object({ type: z.literal(type), timestamp: z.iso.datetime(), data });
    registry.registerWebhook({
      method: 'post',
      path: type,
      tags: ['webhooks'],
      summary,
      security: [],
      request: { headers, body: { required: true, content: { 'application/json': { schema } } } },
      responses: {
        '2XX': { description: 'Taken; whatever else is answered, it is sent again' },
        410: { description: 'Send no more: the endpoint is disabled' },
      },
    });
  }
}
