import { createHash } from 'node:crypto';
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { type ApiDocument, DOCS_STYLE, renderDocs } from './docs-page.ts';
import { createRouter } from './openapi.ts';
import { inlineSchemas } from './schema-text.ts';

/** Nothing but this page's own style: not even a script of ours. */
const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': [
    "default-src 'none'",
    `style-src 'sha256-${createHash('sha256').update(DOCS_STYLE).digest('base64')}'`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};

/** `/docs`: what `/openapi.json` says, for people. Written once, when it is first asked for. */
export function docsRoutes(getDocument: () => object): OpenAPIHono {
  const router = createRouter();
  let page: string | undefined;

  router.openapi(
    createRoute({
      method: 'get',
      path: '/docs',
      tags: ['health'],
      summary: 'This reference, as a page',
      security: [],
      responses: { 200: { description: 'HTML', content: { 'text/html': { schema: z.string() } } } },
    }),
    (c) => {
      // The document is plain JSON of the shape that OpenAPI 3.1 gives it; the page reads what it knows of it.
      page ??= renderDocs(inlineSchemas(getDocument() as ApiDocument));
      return c.body(page, 200, HEADERS);
    },
  );

  return router;
}
