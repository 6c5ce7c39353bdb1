import { createRequire } from 'node:module';
import type * as undici from 'undici';

type RequestMethod = (options: undici.Dispatcher.RequestOptions) => Promise<undici.Dispatcher.ResponseData>;

/*
 * Of undici 7.30 the parts that a POST takes. The package as a whole also loads fetch, WebSocket and caches: 15 MB of
 * memory in a process that never uses them.
 */
const require = createRequire(import.meta.url);

export const Agent: typeof undici.Agent = require('undici/lib/dispatcher/agent.js');
export const buildConnector: typeof undici.buildConnector = require('undici/lib/core/connect.js');
/** What the package as a whole adds to its agents as their method `request`. */
export const request: (
  this: undici.Dispatcher,
  ...call: Parameters<RequestMethod>
) => ReturnType<RequestMethod> = require('undici/lib/api/api-request.js');
export const errors: typeof undici.errors = require('undici/lib/core/errors.js');
