import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import postgres from 'postgres';
import { isId, uuidOf } from '../../src/core/ids.ts';
import { captureLog, type LogLine } from '../http/captured-log.ts';
import { expectProblem, type Problem } from '../http/problem.ts';
import type { Dovecot } from '../support/imap/dovecot.ts';
import { type FaultProxy, startFaultProxy } from '../support/imap/fault-proxy.ts';
import { ADMIN_TOKEN } from '../support/service.ts';
import { mailTo, type Stage, serverOf, startStage, until } from './stage.ts';

/* For tests of what goes wrong: a stage whose log is kept, the rows of its database, and neighbours that fare well. */

export type TroubledStage = Stage & {
  lines: LogLine[];
  sql: postgres.Sql;
  /** A request whose answer is looked at whole. */
  send(method: string, path: string, body?: unknown): Promise<Response>;
  /** Events of these types of a source, oldest first. */
  events(types: string, sourceId: string): Promise<{ type: string; data: Record<string, unknown> }[]>;
  /** Ends the wait of a source for its next try; answers how long it still was. */
  hurry(sourceId: string): Promise<number>;
};

/** Answers are waited for a shorter time than in life. */
export async function startTroubledStage(
  options: Parameters<typeof startStage>[0] = {},
): Promise<TroubledStage> {
  const { log, lines } = captureLog();
  const stage = await startStage({
    log,
    imapProbeMs: 400,
    imapTimeouts: { connectMs: 3000, commandMs: 3000 },
    ...options,
  });
  const sql = postgres(stage.service.databaseUrl, { max: 2, onnotice: () => {} });
  return {
    ...stage,
    lines,
    sql,
    send: (method, path, body) =>
      fetch(`${stage.service.address}${path}`, {
        method,
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    async events(types, sourceId) {
      const rows = await sql<{ type: string; data: { source?: { id: string } } }[]>`
        SELECT type, data FROM events WHERE type LIKE ${types} AND data IS NOT NULL ORDER BY xid, id`;
      return rows.filter(({ data }) => data.source?.id === sourceId);
    },
    async hurry(sourceId) {
      const id = rowIdOf(sourceId);
      const [row] = await sql<[{ waitMs: number }]>`
        WITH before AS (SELECT id, due_at FROM sources WHERE id = ${id} FOR UPDATE)
        UPDATE sources SET due_at = now() FROM before WHERE sources.id = before.id
        RETURNING extract(epoch FROM before.due_at - now())::float8 * 1000 AS "waitMs"`;
      return row.waitMs;
    },
    async [Symbol.asyncDispose]() {
      await sql.end();
      await stage[Symbol.asyncDispose]();
    },
  };
}

/** The key of a source's row. */
export function rowIdOf(sourceId: string): string {
  assert.ok(isId('src', sourceId));
  return uuidOf(sourceId);
}

export type Refused = { problem: Problem; tookMs: number };

/** Asks for a source that is to be refused, and holds that nothing of it was kept. */
export async function refuseSource(
  stage: TroubledStage,
  address: string,
  source: Record<string, unknown>,
  { status, code }: { status: number; code: string },
): Promise<Refused> {
  const mailbox = await stage.service.api('POST', '/v1/mailboxes', { address });
  const startedMs = performance.now();
  const response = await stage.send('POST', `/v1/mailboxes/${mailbox.body.id}/sources`, {
    kind: 'imap',
    ...source,
  });
  const problem = await expectProblem(response, status, code);
  const tookMs = performance.now() - startedMs;
  const { body } = await stage.service.api('GET', `/v1/sources?mailbox=${mailbox.body.id}`);
  assert.deepEqual(body.items ?? body.data, [], 'nothing is kept');
  return { problem, tookMs };
}

/** Holds that a secret is nowhere in what was logged and answered, as it is or as a login sends it. */
export function assertUnsaid(secret: string, user: string, ...texts: unknown[]): void {
  const said = JSON.stringify(texts);
  const sent = Buffer.from(`\0${user}\0${secret}`).toString('base64').slice(4, -4);
  for (const form of [secret, Buffer.from(secret).toString('base64').slice(0, -2), sent]) {
    assert.ok(!said.includes(form), `${form} is in ${said.slice(0, 3000)}`);
  }
}

export type Neighbour = { id: string; assertUntouched(): Promise<void> };

let neighbours = 0;

/** Another mailbox of the service, which is to notice nothing of what befalls the others. */
export async function addNeighbour(
  stage: TroubledStage,
  dovecot: Dovecot,
): Promise<Neighbour & { proxy: FaultProxy }> {
  const user = `neighbour-${++neighbours}@example.com`;
  const proxy = await startFaultProxy(dovecot);
  const at = { host: proxy.host, port: proxy.port, password: dovecot.password };
  const { status, body } = await stage.addSource(user, serverOf(at, user));
  assert.equal(status, 201, JSON.stringify(body));
  await proxy.idling();
  const loginsMade = proxy.loginsTried();
  let mails = 0;
  return {
    id: body.id,
    proxy,
    async assertUntouched() {
      const subject = `to neighbour ${neighbours} the ${++mails}`;
      await dovecot.deliver(user, mailTo(user, subject));
      await stage.waitForSubjects([subject]);
      const told = stage.lines.filter(({ sourceId }) => sourceId === body.id);
      const hint = `the neighbour has not had to log in again: ${JSON.stringify(told)}`;
      assert.equal(proxy.loginsTried(), loginsMade, hint);
      const { state, reason } = await stage.readSource(body.id);
      assert.ok(state === 'idle' || state === 'syncing', `${state}: ${reason}`);
    },
  };
}

/** A port of this machine where nobody listens. */
export async function findClosedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}

/** Resolves once a source waits after a failure; answers it. */
export async function waitForFailure(stage: Stage, id: string, reason: RegExp, timeoutMs = 30_000) {
  let source = await stage.readSource(id);
  await until(
    async () => {
      source = await stage.readSource(id);
      return ['backoff', 'error'].includes(source.state) && reason.test(source.reason ?? '');
    },
    timeoutMs,
    () => `${id} is ${source.state} (${source.reason}), not failing with ${reason}`,
  );
  return source;
}
