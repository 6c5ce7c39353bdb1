import assert from 'node:assert/strict';
import postgres from 'postgres';
import { startConsumer } from '../support/consumer.ts';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import type { MailgressProcess } from '../support/process.ts';
import type { Answer, PushSource } from '../support/service.ts';
import {
  type Blueprint,
  createEnvironments,
  platformEnvironment,
  type RenderService,
  serviceOf,
} from './blueprint.ts';
import { runCommand, startCommand } from './checkout.ts';

/** What Render does with a Blueprint, on a database of its own; whatever is started ends with the scope. */
export type RenderHost = AsyncDisposable & {
  databaseUrl: string;
  preDeploy(type: RenderService['type'], folder: string): Promise<string>;
  start(type: RenderService['type'], folder: string): MailgressProcess;
  /** A request to the API of an instance, with the admin key that Render made up. */
  api(address: string, method: string, path: string, body?: unknown): Promise<Answer>;
};

export async function openRender(blueprint: Blueprint): Promise<RenderHost> {
  const database = await createTestDatabase({ migrated: false });
  // The one thing that no Blueprint says: consumers of tests are on this machine.
  const own = { MAILGRESS_EGRESS_ALLOW: '127.0.0.1' };
  const environmentOf = createEnvironments(blueprint, { databaseUrl: database.url });
  const started: MailgressProcess[] = [];
  const environment = (service: RenderService) => ({
    ...environmentOf(service),
    ...platformEnvironment(service, 0),
    ...own,
  });
  const token = environmentOf(serviceOf(blueprint, 'web')).MAILGRESS_ADMIN_TOKEN;

  return {
    databaseUrl: database.url,
    async preDeploy(type, folder) {
      const service = serviceOf(blueprint, type);
      assert.ok('preDeployCommand' in service && service.preDeployCommand !== undefined);
      return runCommand(service.preDeployCommand, folder, environment(service));
    },
    start(type, folder) {
      const service = serviceOf(blueprint, type);
      const process = startCommand(service.startCommand.split(' '), folder, environment(service));
      started.push(process);
      return process;
    },
    async api(address, method, path, body) {
      const response = await fetch(`${address}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: await response.json() };
    },
    async [Symbol.asyncDispose]() {
      for (const one of started) await one[Symbol.asyncDispose]();
      await database.drop();
    },
  };
}

/** A mailbox with a raw source, whose pushes go where `target` says at the time, and a consumer of its events. */
export async function openMailPath(host: RenderHost, address: string) {
  const consumer = await startConsumer();
  const endpoint = await host.api(address, 'POST', '/v1/endpoints', { url: consumer.url });
  assert.equal(endpoint.status, 201, JSON.stringify(endpoint.body));
  const mailbox = await host.api(address, 'POST', '/v1/mailboxes', { address: 'me@example.com' });
  const sources = `/v1/mailboxes/${mailbox.body.id}/sources`;
  const { body: made } = await host.api(address, 'POST', sources, { kind: 'raw' });
  let targets = [address];
  let turn = 0;
  const source: PushSource & { kind: string } = {
    id: made.id,
    kind: 'raw',
    secret: made.secret,
    get ingestUrl() {
      return new URL(new URL(made.ingestUrl).pathname, targets[turn++ % targets.length]).href;
    },
  };
  return {
    consumer,
    source,
    /** As the API says it: for programs out there. */
    publicIngestUrl: made.ingestUrl as string,
    endpointSecret: endpoint.body.secret as string,
    /** A balancer that takes turns. */
    route(...to: string[]) {
      targets = to;
    },
    [Symbol.asyncDispose]: () => consumer.close(),
  };
}

/** Of each acked mail there is one message, of each message an acked mail, and all of them came to the consumer. */
export async function assertNothingLost(
  { databaseUrl }: RenderHost,
  acked: readonly string[],
  received: readonly { body: string }[],
): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1 });
  try {
    const stored = await sql<
      { id: string }[]
    >`SELECT 'msg_' || replace(id::text, '-', '') AS id FROM messages`;
    assert.deepEqual(stored.map(({ id }) => id).sort(), acked.toSorted(), 'each acked mail is stored, once');
    await waitUntil('all is delivered', async () => {
      const [left] = await sql`SELECT count(*)::int AS n FROM deliveries WHERE status <> 'succeeded'`;
      return left?.n === 0;
    });
  } finally {
    await sql.end({ timeout: 5 });
  }
  const delivered = new Set(received.map(({ body }) => JSON.parse(body).data.id as string));
  assert.deepEqual([...delivered].sort(), acked.toSorted(), 'each acked mail came to the consumer');
}
