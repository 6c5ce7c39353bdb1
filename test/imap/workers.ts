import assert from 'node:assert/strict';
import postgres, { type Sql } from 'postgres';
import type { Dovecot } from '../support/imap/dovecot.ts';
import { type MailgressProcess, startMailgress } from '../support/process.ts';
import {
  ADMIN_TOKEN,
  type Answer,
  SECRET_KEY,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { serverOf, until } from './stage.ts';

/** An API without a worker in its process, and `mailgress worker` processes on its database. */
export type WorkerScene = AsyncDisposable & {
  service: TestService;
  sql: Sql;
  /** Starts one; it is killed at the end. */
  startWorker(args?: readonly string[], databaseUrl?: string): MailgressProcess;
  addSource(user: string, server?: Record<string, unknown>): Promise<string>;
  read(id: string): Promise<Answer['body']>;
  untilState(id: string, state: string, timeoutMs?: number): Promise<void>;
  /** Ids of sources by who holds them; those that nobody holds under ''. */
  holders(): Promise<Map<string, string[]>>;
  /** Resolves once each of these many workers holds its number of sources, and all of these idle. */
  untilShared(counts: readonly number[], timeoutMs: number): Promise<void>;
};

export async function openWorkerScene(dovecot: Dovecot): Promise<WorkerScene> {
  await using stack = new AsyncDisposableStack();
  const service = await startTestService();
  stack.defer(() => service.dispose());
  const sql = postgres(service.databaseUrl, { max: 2, onnotice: () => {} });
  stack.defer(() => sql.end({ timeout: 5 }));
  const held = stack.move();

  const scene: WorkerScene = {
    service,
    sql,
    startWorker: (args = [], databaseUrl = service.databaseUrl) =>
      held.use(startMailgress(['worker', ...args], workerEnvironment(databaseUrl))),
    async addSource(user, server = serverOf(dovecot, user)) {
      const { body: mailbox } = await service.api('POST', '/v1/mailboxes', { address: user });
      const path = `/v1/mailboxes/${mailbox.id}/sources`;
      const { status, body } = await service.api('POST', path, { kind: 'imap', ...server });
      assert.equal(status, 201, JSON.stringify(body));
      return body.id;
    },
    read: async (id) => (await service.api('GET', `/v1/sources/${id}`)).body,
    async untilState(id, state, timeoutMs = 30_000) {
      let source: Answer['body'];
      await until(
        async () => {
          source = await scene.read(id);
          return source.state === state;
        },
        timeoutMs,
        () => `the source is ${source?.state} (${source?.reason}), not ${state}`,
      );
    },
    async holders() {
      const rows = await sql<{ id: string; holder: string }[]>`
        SELECT 'src_' || replace(id::text, '-', '') AS id,
               coalesce(CASE WHEN lease_until > now() THEN left(lease_owner::text, 18) END, '') AS holder
        FROM sources WHERE kind = 'imap' AND is_wanted ORDER BY id`;
      const holders = new Map<string, string[]>();
      for (const { id, holder } of rows) holders.set(holder, [...(holders.get(holder) ?? []), id]);
      return holders;
    },
    async untilShared(counts, timeoutMs) {
      let now = '';
      const wanted = String(counts.toSorted((a, b) => a - b));
      await until(
        async () => {
          const rows = await sql<{ held: number; idle: number }[]>`
            SELECT count(*)::int AS held, count(*) FILTER (WHERE state = 'idle')::int AS idle FROM sources
            WHERE kind = 'imap' AND is_wanted AND lease_until > now() GROUP BY left(lease_owner::text, 18)`;
          now = String(rows.map(({ held }) => held).sort((a, b) => a - b));
          return now === wanted && rows.every(({ held, idle }) => held === idle);
        },
        timeoutMs,
        () => `workers hold ${now}, not ${wanted}`,
      );
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
  return scene;
}

export function workerEnvironment(databaseUrl: string): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
    MAILGRESS_EGRESS_ALLOW: '127.0.0.0/8,::1,localhost',
    LOG_LEVEL: 'info',
  };
}
