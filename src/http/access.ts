import type { OpenAPIHono } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import { isRoleEnough, type Role } from '../core/api-key.ts';
import { MailgressError } from '../core/errors.ts';
import { principalOf } from './principal.ts';

/**
 * The least role for each route that takes a key. A reader sees everything but secrets; an operator also changes what
 * there is of mail; keys are the admin's. A test walks the routes and fails on one that is not here.
 */
export const NEEDED_ROLES: Readonly<Record<string, Role>> = {
  'POST /v1/mailboxes': 'operator',
  'GET /v1/mailboxes': 'reader',
  'GET /v1/mailboxes/{id}': 'reader',
  'PATCH /v1/mailboxes/{id}': 'operator',
  'DELETE /v1/mailboxes/{id}': 'operator',
  'POST /v1/mailboxes/{id}/sources': 'operator',
  'POST /v1/mailboxes/{id}/connect': 'operator',

  'GET /v1/sources': 'reader',
  'GET /v1/sources/{id}': 'reader',
  'PATCH /v1/sources/{id}': 'operator',
  'DELETE /v1/sources/{id}': 'operator',
  'POST /v1/sources/{id}/start': 'operator',
  'POST /v1/sources/{id}/stop': 'operator',
  'POST /v1/sources/{id}/sync': 'operator',
  'POST /v1/sources/{id}/reset': 'operator',
  'POST /v1/sources/{id}/rotate-secret': 'operator',
  // It holds the source's secret.
  'GET /v1/sources/{id}/apps-script': 'operator',
  'GET /v1/sources/{id}/stubs': 'reader',
  'GET /v1/gaps': 'reader',

  'GET /v1/messages': 'reader',
  'GET /v1/messages/{id}': 'reader',
  'GET /v1/messages/{id}/raw': 'reader',
  'GET /v1/messages/{id}/attachments/{n}': 'reader',
  'DELETE /v1/messages/{id}': 'operator',

  'GET /v1/events': 'reader',
  'GET /v1/events/stream': 'reader',

  'POST /v1/endpoints': 'operator',
  'GET /v1/endpoints': 'reader',
  'GET /v1/endpoints/{id}': 'reader',
  'PATCH /v1/endpoints/{id}': 'operator',
  'DELETE /v1/endpoints/{id}': 'operator',
  'POST /v1/endpoints/{id}/test': 'operator',
  'POST /v1/endpoints/{id}/rotate-secret': 'operator',
  'POST /v1/endpoints/{id}/enable': 'operator',
  'POST /v1/endpoints/{id}/disable': 'operator',
  'POST /v1/endpoints/{id}/replay': 'operator',
  'POST /v1/endpoints/{id}/retry': 'operator',
  'GET /v1/replays': 'reader',
  'GET /v1/replays/{id}': 'reader',
  'DELETE /v1/replays/{id}': 'operator',

  'GET /v1/deliveries': 'reader',
  'GET /v1/deliveries/{id}': 'reader',
  'POST /v1/deliveries/{id}/retry': 'operator',

  'POST /v1/keys': 'admin',
  'GET /v1/keys': 'admin',
  'GET /v1/keys/{id}': 'admin',
  'DELETE /v1/keys/{id}': 'admin',

  'GET /v1/doctor': 'admin',
};

/** What is about the service as a whole, and shows something of all tenants. */
const OF_ALL_TENANTS: ReadonlySet<string> = new Set(['GET /v1/doctor']);

/**
 * Refuses, before anything is looked for, what the key's role is not enough for: `forbidden`. A route that is not
 * declared needs an admin.
 */
export function requireRole(): MiddlewareHandler {
  return async (c, next) => {
    const { role, tenant } = principalOf(c);
    // Of a HEAD the route is its GET's. None at all: the path is not there, as the answer will say.
    const route = matchedRoutes(c).find(({ method }) => method !== 'ALL');
    const needed = route && (NEEDED_ROLES[nameOf(route)] ?? 'admin');
    if (needed !== undefined && !isRoleEnough(role, needed)) {
      throw new MailgressError(
        'forbidden',
        `This needs a key of role ${needed}; this one is of role ${role}`,
      );
    }
    if (tenant !== null && route !== undefined && OF_ALL_TENANTS.has(nameOf(route))) {
      throw new MailgressError('forbidden', `This needs a key of all tenants; this one is of ${tenant}`);
    }
    await next();
  };
}

function nameOf({ method, path }: { method: string; path: string }): string {
  return `${method} ${path.replace(/:(\w+)/g, '{$1}')}`;
}

type Document = ReturnType<OpenAPIHono['getOpenAPI31Document']>;

/** Tells, with each operation that takes a key, the role it needs and what a key can be refused with. */
export function tellAccess(document: Document): Document {
  for (const [path, operations] of Object.entries(document.paths ?? {})) {
    if (!path.startsWith('/v1/')) continue;
    for (const method of ['get', 'post', 'patch', 'delete'] as const) {
      const operation = operations[method];
      if (operation === undefined || operation.security?.length === 0) continue;
      const needed = NEEDED_ROLES[`${method.toUpperCase()} ${path}`] ?? 'admin';
      operation.description = [operation.description, `Needs a key of role ${needed}.`]
        .filter((text) => text !== undefined)
        .join('\n\n');
      // The schema of a problem stands in each document as the 401 of the same operation has it.
      const { 401: problem } = operation.responses ?? {};
      if (operation.responses !== undefined && problem !== undefined) {
        operation.responses[403] ??= problem;
        operation.responses[429] ??= problem;
      }
    }
  }
  return document;
}
