import { once } from 'node:events';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { z } from 'zod';
import { categorySchema } from '../core/category/schema.ts';
import { MailgressError } from '../core/errors.ts';
import { spamFilterSchema } from '../core/message.ts';
import { type SignatureHeaders, verify } from '../core/signature.ts';
import { visible } from './print.ts';

/** A webhook that came. */
export type Arrival = {
  isVerified: boolean;
  /** On the clock of `performance.now()`. */
  atMs: number;
  /** What it is about, on one line. */
  summary: string;
};

export type DemoConsumer = {
  url: string;
  /**
   * The webhook of a message, verified with the endpoint's secret.
   *
   * @throws MailgressError `service_unavailable` if none comes.
   */
  waitFor(messageId: string, secret: string): Promise<Arrival>;
  close(): Promise<void>;
};

const eventSchema = z.object({
  data: z.object({
    id: z.string(),
    subject: z.string().nullable(),
    placement: z.string(),
    parse: z.string(),
    attachments: z.array(z.unknown()),
    category: categorySchema,
    spamFilters: z.array(spamFilterSchema),
  }),
});

const PATIENCE_MS = 10_000;

type Webhook = { body: Buffer; headers: SignatureHeaders; atMs: number };

export async function startDemoConsumer(): Promise<DemoConsumer> {
  const arrived = new Map<string, Webhook>();
  let onArrival = () => {};
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    const header = (name: string) => request.headers[name]?.toString();
    const headers = {
      id: header('webhook-id'),
      timestamp: header('webhook-timestamp'),
      signature: header('webhook-signature'),
    };
    const { data } = eventSchema.parse(JSON.parse(body.toString('utf8')));
    arrived.set(data.id, { body, headers, atMs: performance.now() });
    response.writeHead(204).end();
    onArrival();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  return {
    url: `http://127.0.0.1:${port}/`,
    async waitFor(messageId, secret) {
      const webhook = await new Promise<Webhook>((resolve, reject) => {
        const timer = setTimeout(() => reject(nothingCame()), PATIENCE_MS);
        onArrival = () => {
          const found = arrived.get(messageId);
          if (found === undefined) return;
          clearTimeout(timer);
          resolve(found);
        };
        onArrival();
      });
      const { body, headers, atMs } = webhook;
      const { ok } = verify({ secrets: [secret], headers, body, now: new Date() });
      return { isVerified: ok, atMs, summary: summarize(body) };
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function summarize(body: Buffer): string {
  const { data } = eventSchema.parse(JSON.parse(body.toString('utf8')));
  const files = data.attachments.length > 0 ? `, ${data.attachments.length} attachment` : '';
  const parse = data.parse === 'ok' ? '' : `, parse: ${data.parse}`;
  return `"${visible(data.subject ?? '')}" in ${data.placement}${files}${describeCategory(data)}${parse}`;
}

function describeCategory({ category, spamFilters }: z.infer<typeof eventSchema>['data']): string {
  const { bounce, calendar, list } = category;
  const words = [
    bounce && `bounce of ${bounce.recipient}: ${bounce.status}`,
    calendar && `invitation for ${calendar.start}`,
    list && `list ${list.id}`,
    ...spamFilters.map(({ name, verdict, score }) => `${name} says ${verdict} (${score})`),
  ];
  return words.map((word) => (word ? `, ${visible(word)}` : '')).join('');
}

function nothingCame(): MailgressError {
  return new MailgressError(
    'service_unavailable',
    `No webhook came in ${PATIENCE_MS / 1000} s: does a dispatcher run, and may it call 127.0.0.1 (MAILGRESS_EGRESS_ALLOW)?`,
  );
}
