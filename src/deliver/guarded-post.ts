import { createConnector } from './connector.ts';
import type { Egress } from './egress.ts';
import { Agent, request } from './undici.ts';

/** Posts a form to a URL that a user named, and reads its JSON. */
export type PostForm = (url: string, form: URLSearchParams) => Promise<{ status: number; answer: unknown }>;

const TIMEOUT_MS = 20_000;
/** A token is a few kB. */
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Through the egress guard, on a connection of its own. Redirects are not followed: a secret goes where it was said, and
 * nowhere else. `answer` is undefined for what is no JSON.
 *
 * Throws what the guard, the network or the deadline says.
 */
export function createGuardedPost(egress: Egress): PostForm {
  return async (url, form) => {
    const { origin, pathname, search } = new URL(url);
    const agent = new Agent({ connect: createConnector(egress, { timeoutMs: TIMEOUT_MS }), pipelining: 0 });
    try {
      const response = await request.call(agent, {
        origin,
        path: `${pathname}${search}`,
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
        body: form.toString(),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of response.body) {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
        chunks.push(chunk);
      }
      return { status: response.statusCode, answer: parseJson(Buffer.concat(chunks).toString()) };
    } finally {
      await agent.destroy();
    }
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
