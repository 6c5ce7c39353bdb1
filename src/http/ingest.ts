import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { resultsSchema } from '../core/resources.ts';
import {
  appsScriptBodySchema,
  type BatchItem,
  parseAppsScriptBody,
  stubIdOf,
} from '../sources/apps-script/body.ts';
import { toRawMail } from '../sources/raw.ts';
import { type BatchReport, EMPTY_REPORT, recordBatch } from '../store/batches.ts';
import type { IngressSource } from '../store/sources.ts';
import { admit } from './admit.ts';
import { answer, createRouter, problems } from './openapi.ts';
import type { Services } from './services.ts';

type Result = z.infer<typeof resultsSchema>['results'][number];

/** So many mails of one batch are in memory as rows at a time; a batch has as many as its body holds. */
const MAILS_AT_ONCE = 128;
/** And so many bytes of them: as a document a mail can have six times its size. */
const BYTES_AT_ONCE = 8 * 1024 * 1024;

/**
 * The signed ways in. Whatever is answered with 2xx is durable; an error answer stores nothing that sending the same
 * again would double.
 */
export function ingestRoutes(services: Services): OpenAPIHono {
  const router = createRouter();
  // Registered beside the handlers and not through them: the body is verified as bytes before anything reads it.
  for (const [path, content, description] of [
    ['apps-script', { 'application/json': { schema: appsScriptBodySchema } }, 'Mail pushed by a script'],
    ['raw', { 'message/rfc822': { schema: z.string() } }, 'One mail, RFC 5322 bytes'],
  ] as const) {
    router.openAPIRegistry.registerPath({
      method: 'post',
      path: `/v1/ingest/${path}/{sourceId}`,
      tags: ['ingest'],
      summary: description,
      description: "Signed with the source's secret as Standard Webhooks asks",
      security: [],
      request: {
        params: z.object({ sourceId: z.string() }),
        headers: z.object({
          'webhook-id': z.string(),
          'webhook-timestamp': z.string(),
          'webhook-signature': z.string(),
        }),
        body: { required: true, content },
      },
      responses: {
        200: answer('What became of each mail', resultsSchema),
        ...problems(400, 401, 408, 409, 413, 429, 503),
      },
    });
  }

  router.post('/v1/ingest/apps-script/:sourceId', (c) =>
    admit(c, 'apps-script', services, async ({ source, bytes }) => {
      const { items, report, heartbeat } = parseAppsScriptBody(bytes);
      // A batch without mail costs as much as a mail.
      services.sourceRate.take(source.id, Math.max(1, items.length));
      const results = await takeBatch(items, { ...EMPTY_REPORT, ...report }, source, services);
      services.activity.note(source.id, { hasMessage: items.length > 0, heartbeat });
      return c.json({ results });
    }),
  );

  router.post('/v1/ingest/raw/:sourceId', (c) =>
    admit(c, 'raw', services, async ({ source, bytes }) => {
      if (bytes.length === 0) {
        throw new MailgressError('bad_request', 'The body is empty: send the bytes of a mail');
      }
      services.sourceRate.take(source.id, 1);
      const results = await takeBatch([{ id: null, mail: toRawMail(bytes) }], EMPTY_REPORT, source, services);
      services.activity.note(source.id, { hasMessage: true });
      return c.json({ results });
    }),
  );

  return router;
}

/**
 * Stores a batch, then what it reports: the cursor may only say what the mails have made true.
 *
 * @throws MailgressError `store_unavailable` or `overloaded` when a mail could not be stored now. The same batch comes
 * again then, and what was stored is a duplicate.
 */
async function takeBatch(
  items: readonly BatchItem[],
  report: BatchReport,
  source: IngressSource,
  services: Services,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const group of groupsOf(items)) {
    const settled = await Promise.allSettled(
      group.map((item) => takeItem(item, source, services, group.length > 1)),
    );
    for (const one of settled) {
      if (one.status === 'rejected') throw one.reason;
      results.push(one.value);
    }
  }

  const stored: string[] = [];
  const rejected: BatchReport['failed'][number][] = [];
  for (const [index, item] of items.entries()) {
    const result = results[index];
    if (result?.status !== 'rejected') stored.push(stubIdOf(item));
    else rejected.push({ id: stubIdOf(item), error: result.reason ?? '', attempts: 1 });
  }
  const whole = { ...report, failed: [...report.failed, ...rejected], stored };
  const isWorthKeeping =
    whole.cursor !== null ||
    whole.gap !== null ||
    whole.missing.length > 0 ||
    whole.failed.length > 0 ||
    (source.hasStubs && stored.length > 0);
  if (isWorthKeeping) {
    const { database, wakeDispatcher } = services;
    if (await database.inTime(recordBatch(database.hot, source.id, whole))) wakeDispatcher();
  }
  return results;
}

/** The items in their order, in groups of so many mails and bytes at the most; a larger mail goes alone. */
function groupsOf(items: readonly BatchItem[]): BatchItem[][] {
  const groups: BatchItem[][] = [];
  let bytes = 0;
  for (const item of items) {
    const size = 'mail' in item ? item.mail.bytes.length : 0;
    const last = groups.at(-1);
    if (last === undefined || last.length === MAILS_AT_ONCE || bytes + size > BYTES_AT_ONCE) {
      groups.push([item]);
      bytes = size;
    } else {
      last.push(item);
      bytes += size;
    }
  }
  return groups;
}

async function takeItem(
  item: BatchItem,
  source: IngressSource,
  services: Services,
  isOneOfMany: boolean,
): Promise<Result> {
  if ('rejected' in item) return { id: item.id, status: 'rejected', reason: item.rejected };
  const outcome = await services.ingest(item.mail, source, isOneOfMany);
  if (outcome.status === 'mailbox_gone') {
    throw new MailgressError('unauthorized', 'The mailbox of this source was deleted');
  }
  return { id: item.id, ...outcome };
}
