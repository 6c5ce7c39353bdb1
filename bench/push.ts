import type { ChildProcess } from 'node:child_process';
import postgres from 'postgres';
import { startPushTokens } from '../test/support/push-tokens.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { PUSH_ACCOUNTS, pushAddress } from './mails.ts';
import { cpuMs, endProcess, startMailgress } from './variants.ts';

export type PushFigures = {
  perSecond: number;
  pushes: number;
  p50Ms: number;
  p99Ms: number;
  statements: number;
  nodeUs: number;
};

/**
 * Pushes of Pub/Sub at a rate, each timed from when it was due until its 204: a token to verify and a hint to keep.
 * Google sends one token for up to an hour, and so do we.
 *
 * @param options.send has the load generator do as ordered.
 */
export async function measurePushes(options: {
  databaseUrl: string;
  perSecond: number;
  seconds: number;
  send: (order: LoadOrder) => Promise<LoadResult>;
  countStatements: () => Promise<number>;
}): Promise<PushFigures> {
  const { databaseUrl, perSecond, seconds, send, countStatements } = options;
  const tokens = await startPushTokens();
  let child: ChildProcess | undefined;
  try {
    const variant = await startMailgress('Mailgress, with pushes', databaseUrl, [], undefined, tokens.env);
    child = variant.child;
    await addSources(databaseUrl);
    const secret = await tokens.token();
    const { port } = variant.target;
    const order = { port, path: '/v1/ingest/pubsub', secret, mail: 'push', connections: 16 } as const;

    await send({ ...order, perSecond, requests: perSecond * 5 });
    const before = { cpu: await cpuMs(child), statements: await countStatements() };
    const pushes = perSecond * seconds;
    const { p50Ms, p99Ms } = await send({ ...order, perSecond, requests: pushes });
    const statements = ((await countStatements()) - before.statements) / pushes;
    const nodeUs = (((await cpuMs(child)) - before.cpu) * 1000) / pushes;
    return { perSecond, pushes, p50Ms, p99Ms, statements, nodeUs };
  } finally {
    if (child !== undefined) await endProcess(child);
    await tokens.stop();
  }
}

/** As if each had been connected. */
async function addSources(databaseUrl: string): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  const addresses = Array.from({ length: PUSH_ACCOUNTS }, (_, n) => pushAddress(n));
  await sql`
    WITH added AS (
      INSERT INTO mailboxes (id, tenant, address)
      SELECT gen_random_uuid(), 'default', address FROM unnest(${addresses}::text[]) AS address
      RETURNING id, address
    )
    INSERT INTO sources (id, mailbox_id, kind, account, state, is_wanted)
    SELECT gen_random_uuid(), id, 'gmail', address, 'disconnected', false FROM added`;
  await sql.end();
}
