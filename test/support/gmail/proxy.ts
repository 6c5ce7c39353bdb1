import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { nameRequest } from './calls.ts';
import {
  type Answer,
  delegationDenied,
  type Fault,
  googleError,
  quotaSpent,
  type Rule,
  UNAUTHORIZED,
} from './faults.ts';
import { selectFields } from './fields.ts';
import type { Grants } from './grants.ts';
import type { Entry, Limits, WritableLedger } from './ledger.ts';
import type { Mailboxes } from './mailboxes.ts';
import type { Upstream } from './upstream.ts';

/** What is told of each call: before anything was done, and once the answer was handed to the system. */
export type Hook = (entry: Entry, moment: 'asked' | 'answered') => void | Promise<void>;

export type Proxied = {
  upstream: Upstream;
  grants: Grants;
  mailboxes: Mailboxes;
  ledger: WritableLedger;
  rules: ReadonlySet<Rule>;
  hooks: ReadonlySet<Hook>;
  limits: Limits | undefined;
};

/** A server that is not answering yet, so that its address is known to what stands behind it. */
export async function listen(): Promise<{ server: Server; url: string }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  // A client that was killed breaks off.
  server.on('clientError', () => {});
  return { server, url: `http://127.0.0.1:${address.port}` };
}

/** Answers as Google, with faults. */
export function serve(server: Server, proxied: Proxied): void {
  const { grants, ledger, rules, hooks, limits } = proxied;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const url = new URL(request.url ?? '', 'http://proxy');
    const named = nameRequest(request.method ?? '', url.pathname);
    const account = named.name === 'token' ? grants.accountOf(body) : accountOf(request);
    const entry = ledger.open({ ...named, account, params: url.searchParams });
    const tell = async (moment: 'asked' | 'answered') => {
      for (const hook of hooks) await hook(entry, moment);
    };

    await tell('asked');
    const startedMs = performance.now();
    const fault = findFault(entry);
    entry.fault = fault?.name;
    if (fault?.delayMs !== undefined) await sleep(fault.delayMs);
    if (fault?.cut === 'unheard') {
      request.socket.destroy();
      entry.status = 0;
    } else {
      const asked = { request, url, body, named, account };
      const truth = fault?.answer ?? partOf(await answer(proxied, asked), url.searchParams);
      const changed =
        fault?.change !== undefined && truth.status === 200
          ? { ...truth, body: fault.change(jsonOf(truth.body)) }
          : truth;
      entry.status = fault?.cut === 'half-way' ? 0 : changed.status;
      await send(response, changed, fault);
    }
    entry.tookMs = performance.now() - startedMs;
    await tell('answered');
  }

  function findFault(entry: Entry): Fault | undefined {
    for (const rule of rules) {
      const fault = rule(entry);
      if (fault !== undefined) return fault;
    }
    const isOver =
      limits !== undefined &&
      (ledger.spent(entry.account) > limits.perAccount || ledger.spent(undefined) > limits.perProject);
    return isOver && entry.units > 0 ? quotaSpent() : undefined;
  }

  const accountOf = (request: IncomingMessage) => {
    const [, token] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
    return token === undefined ? undefined : grants.findAccount(token);
  };

  server.on('request', (request, response) => {
    handle(request, response).catch((error) => {
      // Of the client: gone. Of ours: said loudly, as it is a fault of the test's world.
      if (!response.writableEnded && !response.destroyed) {
        process.stderr.write(`Gmail world: ${error instanceof Error ? error.stack : error}\n`);
        response.writeHead(599).end();
      }
    });
  });
}

type Asked = {
  request: IncomingMessage;
  url: URL;
  body: Buffer;
  named: ReturnType<typeof nameRequest>;
  account: string | undefined;
};

async function answer(proxied: Proxied, { request, url, body, named, account }: Asked): Promise<Answer> {
  const { grants, mailboxes, upstream } = proxied;
  const headers = request.headers as Record<string, string | undefined>;
  if (named.name === 'token') return grants.answer(body, headers);
  if (named.userId !== undefined && account === undefined) return UNAUTHORIZED;
  if (named.userId !== undefined && account !== undefined) {
    if (named.userId !== 'me' && named.userId.toLowerCase() !== account.toLowerCase())
      return delegationDenied(named.userId).answer as Answer; // it has one
    const params = url.searchParams;
    if (named.name === 'getProfile') return mailboxes.getProfile(account);
    if (named.name === 'history.list') return mailboxes.listHistory(account, params);
    if (named.name === 'messages.list') return mailboxes.listMessages(account, params);
    if (named.name === 'watch') return mailboxes.watch(account, body);
    if (named.name === 'stop') return mailboxes.stop(account);
    const path = url.pathname.replace(/^\/gmail\/v1\/users\/[^/]+\//, '') + url.search;
    const reply = await upstream.gmail(account, request.method ?? '', path, parsed(body));
    return { status: reply.status, headers: contentType(reply.headers), body: reply.bytes };
  }
  // Of a token that it does not know emulate says it is the first account's.
  const isPersonal = /^Bearer /i.test(request.headers.authorization ?? '');
  if (isPersonal && account === undefined) return UNAUTHORIZED;
  // Consent pages and the like.
  const reply = await upstream.send({
    method: request.method ?? '',
    path: url.pathname + url.search,
    headers: { ...contentType(headers), ...(account !== undefined && upstream.as(account)) },
    body: body.length > 0 ? body : undefined,
  });
  const location = reply.headers.location;
  return {
    status: reply.status,
    headers: { ...contentType(reply.headers), ...(location && { location }) },
    body: reply.bytes,
  };
}

/** As much of the answer as `fields` asks for. */
function partOf(answer: Answer, params: URLSearchParams): Answer {
  const fields = params.get('fields');
  if (fields === null || answer.status !== 200) return answer;
  const body = selectFields(jsonOf(answer.body), fields);
  if (body !== undefined) return { status: 200, body };
  const message = `Invalid field selection ${fields}`;
  return googleError({ code: 400, status: 'INVALID_ARGUMENT', message, reason: 'invalidParameter' });
}

async function send(
  response: ServerResponse,
  { status, headers, body }: Answer,
  fault?: Fault,
): Promise<void> {
  const isText = typeof body === 'string' || Buffer.isBuffer(body);
  const bytes = Buffer.from(isText ? body : JSON.stringify(body));
  response.writeHead(status, {
    ...(!isText && { 'content-type': 'application/json; charset=UTF-8' }),
    // No body, and no length, may stand in a 204 (RFC 9110 section 8.6).
    ...(status !== 204 && { 'content-length': String(bytes.length) }),
    ...headers,
  });
  if (fault?.cut === 'half-way') {
    const { promise, resolve } = Promise.withResolvers<void>();
    response.write(bytes.subarray(0, bytes.length >> 1), () => resolve());
    await promise;
    response.socket?.destroy();
    return;
  }
  const { promise, resolve } = Promise.withResolvers<void>();
  response.once('close', resolve);
  response.end(bytes, resolve);
  await promise;
}

const contentType = (headers: Record<string, string | undefined>): Record<string, string> =>
  headers['content-type'] === undefined ? {} : { 'content-type': headers['content-type'] };

const parsed = (body: Buffer): object | undefined =>
  body.length === 0 ? undefined : JSON.parse(body.toString());

const jsonOf = (body: unknown) => (Buffer.isBuffer(body) ? JSON.parse(body.toString()) : body);
