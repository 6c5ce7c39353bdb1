import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { z } from 'zod';
import { isRoleEnough } from '../core/api-key.ts';
import { isId } from '../core/ids.ts';
import { type OAuthProvider, oauthProviderSchema, PROVIDERS } from '../sources/oauth/providers.ts';
import type { Refusal } from '../sources/oauth/refusal.ts';
import { findMailbox } from '../store/mailboxes.ts';
import { ATTEMPT_LIFETIME_MS, keepAttempt, takeAttempt } from './connect-attempt.ts';
import { connectLink, isLinkToken } from './connect-link.ts';
import { pageResponse } from './connect-page.ts';
import { answer, createRouter, jsonBody, pathId, problems } from './openapi.ts';
import { logProblem, notFound, problemStatus, toMailgressError } from './problem.ts';
import type { Services } from './services.ts';

const tags = ['connect'];

/** Makes the link that a person opens. */
export function connectLinkRoutes(services: Services): OpenAPIHono {
  const router = createRouter();
  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/mailboxes/{id}/connect',
      tags,
      summary: 'Make a link by which a person lets this service read the mailbox',
      description:
        "The link works without a key, for a week. It asks the provider's question, and makes the source when the \
mailbox's own account says yes. `{public URL}/connect/{provider}/callback` has to be a redirect URI of the OAuth client.",
      request: {
        params: z.object({ id: z.string() }),
        body: jsonBody(z.strictObject({ provider: oauthProviderSchema })),
      },
      responses: {
        200: answer('The link', z.object({ url: z.string(), expiresAt: z.iso.datetime() })),
        ...problems(400, 401, 404, 503),
      },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const { provider } = c.req.valid('json');
      const mailboxId = pathId('mbx', 'mailbox', id);
      if ((await findMailbox(services.database.sql, mailboxId)) === undefined)
        throw notFound(`mailbox ${id}`);
      services.consents.requireConfigured(provider);
      const { keyring } = services;
      const link = connectLink({ keyring, provider, mailboxId, publicUrl: services.publicUrl() });
      return c.json({ url: link.url, expiresAt: link.expiresAt.toISOString() }, 200);
    },
  );
  return router;
}

/** What the browser of that person goes through: `/connect/<provider>`, the provider, `/connect/<provider>/callback`. */
export function connectRoutes(services: Services): OpenAPIHono {
  const router = createRouter();
  router.onError((error, c) => {
    const known = toMailgressError(error);
    const requestId = c.res.headers.get('x-request-id');
    logProblem(known, services.log.child({ requestId }));
    return pageResponse(c, problemStatus(known), 'That did not work', known.message, `Request ${requestId}`);
  });
  for (const provider of oauthProviderSchema.options) {
    documentRoutes(router, provider);
    router.get(`/connect/${provider}`, (c) => begin(c, provider, services));
    router.get(`/connect/${provider}/callback`, (c) => finish(c, provider, services));
  }
  return router;
}

/** Sends the browser to the provider's question. */
async function begin(c: Context, provider: OAuthProvider, services: Services): Promise<Response> {
  const { database, keyring, consents } = services;
  const mailboxId = c.req.query('mailbox') ?? '';
  const token = c.req.query('token') ?? '';
  const isLink = isId('mbx', mailboxId) && isLinkToken({ keyring, provider, mailboxId }, token);
  const principal = isLink ? undefined : await services.identify(c);
  const isAllowed = isLink || (principal !== undefined && isRoleEnough(principal.role, 'operator'));
  if (!isAllowed || !isId('mbx', mailboxId)) {
    return pageResponse(
      c,
      403,
      'This link does not work',
      'It is older than a week, or not whole. Ask whoever gave it to you for a new one.',
    );
  }
  const mailbox = await database.inTime(findMailbox(database.sql, mailboxId));
  // A key of another tenant is told what it would be told of a mailbox that is not there.
  const isForeign = principal?.tenant != null && principal.tenant !== mailbox?.tenant;
  if (mailbox === undefined || isForeign) return mailboxGone(c);

  const callbackUrl = callbackUrlOf(provider, services);
  const { url, secrets } = await consents.begin(provider, {
    redirectUri: callbackUrl.href,
    address: mailbox.address,
  });
  const expiresAtMs = Date.now() + ATTEMPT_LIFETIME_MS;
  keepAttempt(c, { keyring, provider, callbackUrl }, { ...secrets, mailboxId, expiresAtMs });
  c.header('cache-control', 'no-store');
  c.header('referrer-policy', 'no-referrer');
  return c.redirect(url.href, 302);
}

/** Takes the browser back from there. Nothing of what it brings counts before its state is that of its cookie. */
async function finish(c: Context, provider: OAuthProvider, services: Services): Promise<Response> {
  const { database, keyring, consents, connectSource, log } = services;
  const callbackUrl = callbackUrlOf(provider, services);
  const attempt = takeAttempt(c, { keyring, provider, callbackUrl }, c.req.query('state') ?? '');
  if (attempt === undefined) {
    return pageResponse(
      c,
      400,
      'Nothing was connected',
      'This answer does not belong to a question that was asked in this browser in the last ten minutes. \
Open the link again, and allow cookies.',
    );
  }
  const { mailboxId } = attempt;
  const mailbox = await database.inTime(findMailbox(database.sql, mailboxId));
  if (mailbox === undefined) return mailboxGone(c);

  // Ours and not the request's: behind a proxy that one has another host.
  callbackUrl.search = new URL(c.req.url).search;
  const { address } = mailbox;
  const outcome = await consents.finish(provider, callbackUrl, { secrets: attempt, address });
  if (outcome.outcome === 'refused') {
    log.info({ mailboxId, provider, reason: outcome.reason }, 'consent led to nothing');
    return pageResponse(c, statusOf(outcome), 'Nothing was connected', outcome.message);
  }
  const source = await connectSource(mailboxId, provider, outcome.refreshToken, outcome.account);
  if (source === undefined) return mailboxGone(c);
  log.info({ mailboxId, provider, sourceId: source.id }, 'connected by consent');
  return pageResponse(
    c,
    200,
    'Connected',
    `Mailgress may now read the mail of ${address}. You can close this page.`,
    `To end it, remove the access of this app at ${PROVIDERS[provider].revokeAt}.`,
  );
}

/** As it is registered at the provider: it follows from the public URL alone, whatever host was asked. */
function callbackUrlOf(provider: OAuthProvider, { publicUrl }: Services): URL {
  return new URL(`${publicUrl()}/connect/${provider}/callback`);
}

function mailboxGone(c: Context): Response {
  return pageResponse(
    c,
    404,
    'Nothing was connected',
    'The mailbox that this link is for is no longer there.',
  );
}

/** What the person can mend is 400; the rest is for whoever runs this service, or for the provider. */
function statusOf({ reason }: Refusal): 400 | 503 {
  return reason === 'client_rejected' || reason === 'provider_unavailable' ? 503 : 400;
}

/** Registered beside the handlers and not through them: faults are told on a page, to a person. */
function documentRoutes(router: OpenAPIHono, provider: OAuthProvider): void {
  const { title } = PROVIDERS[provider];
  const page = (description: string) => ({ description, content: { 'text/html': { schema: z.string() } } });
  const pages = { 400: page('What went wrong'), 404: page('No such mailbox'), 503: page('What went wrong') };
  router.openAPIRegistry.registerPath({
    method: 'get',
    path: `/connect/${provider}`,
    tags,
    summary: `Ask a person, at ${title}, for consent to read a mailbox`,
    description: 'For browsers. A key does instead of the token.',
    security: [],
    request: { query: z.object({ mailbox: z.string(), token: z.string().optional() }) },
    responses: { 302: { description: `To ${title}` }, 403: page('No such link, or no longer'), ...pages },
  });
  router.openAPIRegistry.registerPath({
    method: 'get',
    path: `/connect/${provider}/callback`,
    tags,
    summary: `Where ${title} sends the browser back to`,
    security: [],
    request: {
      query: z.object({
        state: z.string(),
        code: z.string().optional(),
        error: z.string().optional(),
      }),
    },
    responses: { 200: page('Connected'), ...pages },
  });
}
