import { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type Fault, MailgressError } from '../core/errors.ts';
import { type Id, type IdPrefix, isId } from '../core/ids.ts';
import { problemSchema } from '../core/resources.ts';
import { notFound } from './problem.ts';

/** So many of a request's faults are listed: who mends these finds the rest. */
const MAX_FAULTS = 20;

/** A router whose routes validate by the schemas that `/openapi.json` shows. */
export function createRouter(): OpenAPIHono {
  return new OpenAPIHono({
    defaultHook: (result) => {
      if (result.success) return;
      const faults = faultsOf(result.error);
      throw new MailgressError('bad_request', 'The request has faults; `errors` lists them', { faults });
    },
  });
}

/** Where an input is bad, and how; of several shapes by the one that it was most likely meant to have. */
export function faultsOf({ issues }: { issues: readonly Issue[] }): Fault[] {
  return issues
    .flatMap((issue) => expand(issue))
    .slice(0, MAX_FAULTS)
    .map(({ path, message }) => ({ path: path.join('.'), message }));
}

type Issue = {
  code?: string | undefined;
  path: readonly PropertyKey[];
  message: string;
  errors?: readonly (readonly Issue[])[] | undefined;
};

/** Of a union zod says "Invalid input" alone. */
function expand(issue: Issue): Issue[] {
  const shapes = (issue.code === 'invalid_union' ? (issue.errors ?? []) : []).map((inside) =>
    inside.flatMap((one) => expand({ ...one, path: [...issue.path, ...one.path] })),
  );
  // Whoever names a field of one shape does not mean the other.
  const strangers = (shape: readonly Issue[]) =>
    shape.filter(({ code }) => code === 'unrecognized_keys').length;
  const [meant] = shapes.toSorted((a, b) => strangers(a) - strangers(b) || a.length - b.length);
  return meant ?? [issue];
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
