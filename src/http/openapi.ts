import { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { MailgressError } from '../core/errors.ts';
import { type Id, type IdPrefix, isId } from '../core/ids.ts';
import { notFound, problemSchema } from './problem.ts';

/** So many of a request's faults are listed: who mends these finds the rest. */
const MAX_FAULTS = 20;

/** A router whose routes validate by the schemas that `/openapi.json` shows. */
export function createRouter(): OpenAPIHono {
  return new OpenAPIHono({
    defaultHook: (result) => {
      if (result.success) return;
      const faults = result.error.issues
        .slice(0, MAX_FAULTS)
        .map(({ path, message }) => ({ path: path.join('.'), message }));
      throw new MailgressError('bad_request', 'The request has faults; `errors` lists them', { faults });
    },
  });
}

/** One JSON answer of a route. */
export function answer<T extends z.ZodType>(description: string, schema: T) {
  return { description, content: { 'application/json': { schema } } };
}

/** The problem+json answers a route can give. */
export function problems<S extends number>(...statuses: S[]) {
  const one = {
    description: 'A problem',
    content: { 'application/problem+json': { schema: problemSchema } },
  };
  return Object.fromEntries(statuses.map((status) => [status, one])) as Record<S, typeof one>;
}

export function jsonBody<T extends z.ZodType>(schema: T) {
  return { required: true, content: { 'application/json': { schema } } };
}

/** The id of a path. A malformed one names nothing: 404, like any other that is not there. */
export function pathId<P extends IdPrefix>(prefix: P, what: string, text: string): Id<P> {
  if (isId(prefix, text)) return text;
  throw notFound(`${what} ${text.slice(0, 64)}`);
}
