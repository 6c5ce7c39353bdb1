import { createRequire } from 'node:module';
import type * as undici from 'undici';

/*
 * Of undici 7.30 the parts that a POST takes. The package as a whole also loads fetch, WebSocket and caches: 15 MB of
 * memory in a process that never uses them.
 */
const require = createRequire(import.meta.url);

export const Agent: typeof undici.Agent = require('undici/lib/dispatcher/agent.js');
export const buildConnector: typeof undici.buildConnector = require('undici/lib/core/connect.js');
export const errors: typeof undici.errors = require('undici/lib/core/errors.js');
