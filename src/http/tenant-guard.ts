import type { Context, MiddlewareHandler } from 'hono';
import { MailgressError } from '../core/errors.ts';
import type { Id, IdPrefix } from '../core/ids.ts';
import type { Database } from '../store/database.ts';
import { findForeign } from '../store/ownership.ts';
import { principalOf } from './principal.ts';
import { notFound } from './problem.ts';

/** What each id names, as the routes call it in their own 404. */
const NOUNS: Record<IdPrefix, string> = {
  mbx: 'mailbox',
  src: 'source',
  msg: 'message',
  evt: 'event',
  ep: 'endpoint',
  dlv: 'delivery',
  att: 'attempt',
  key: 'key',
  prb: 'probe',
  run: 'run',
  gap: 'gap',
  rpl: 'replay',
  stb: 'stub',
};

const ID = new RegExp(`^(?:${Object.keys(NOUNS).join('|')})_[0-9a-f]{32}$`);
/** More than any request needs; they all go into one statement. */
const MAX_IDS = 1000;

/**
 * Keeps a key of a tenant within it: every id that a request names, in its path, its query or its body, must be of
 * something of that tenant, else 404, as if it were not there; and a `tenant` in the body must be that one, else 403. So
 * no route can forget it. What a list shows is a matter of its statement (`store/page.ts`).
 */
export function stayInTenant({ sql, inTime }: Database): MiddlewareHandler {
  return async (c, next) => {
    const { tenant } = principalOf(c);
    if (tenant !== null) await check(c, tenant);
    await next();
  };

  async function check(c: Context, tenant: string): Promise<void> {
    const body = await readJson(c);
    if (isRecord(body) && body.tenant !== undefined && body.tenant !== tenant) {
      throw new MailgressError('forbidden', `This key is of tenant ${tenant} and of no other`);
    }
    const ids = new Set([...idsOfPath(c), ...idsOfQuery(c), ...idsOfBody(body)].filter(isAnyId));
    if (ids.size > MAX_IDS) {
      throw new MailgressError('bad_request', `A request may name at most ${MAX_IDS} ids`);
    }
    const [foreign] = await inTime(findForeign(sql, tenant, [...ids]));
    if (foreign !== undefined) throw notFound(`${NOUNS[prefixOf(foreign)]} ${foreign}`);
  }
}

function isAnyId(text: string): text is Id {
  return ID.test(text);
}

function prefixOf(id: Id): IdPrefix {
  // What matched ID begins with one.
  return id.slice(0, id.indexOf('_')) as IdPrefix;
}

/** An escaped path could be one thing here and another to the router. No path of ours needs one. */
function idsOfPath(c: Context): string[] {
  const { pathname } = new URL(c.req.url);
  if (pathname.includes('%')) throw notFound(`path ${pathname.slice(0, 200)}`);
  return pathname.split('/');
}

/** As the routes read it, and each of a list in one value too. */
function idsOfQuery(c: Context): string[] {
  return Object.values(c.req.queries())
    .flat()
    .flatMap((value) => value.split(','))
    .map((value) => value.trim());
}

/** Undefined for what is none: the route says what is wrong with it. */
async function readJson(c: Context): Promise<unknown> {
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return undefined;
  // Kept by the request, so that the route validates this very object.
  return c.req.json().catch(() => undefined);
}

/** Every string in it, keys too; without recursion, for it may be nested as deep as it is long. */
function idsOfBody(body: unknown): string[] {
  const found: string[] = [];
  const left: unknown[] = [body];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value === 'string') found.push(value.trim());
    else if (Array.isArray(value)) for (const one of value) left.push(one);
    else if (isRecord(value)) for (const [key, one] of Object.entries(value)) left.push(key, one);
  }
  return found;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
