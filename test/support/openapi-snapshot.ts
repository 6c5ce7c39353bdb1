import { pino } from 'pino';
import { createApp } from '../../src/http/app.ts';
import type { Services } from '../../src/http/services.ts';
import { version } from '../../src/version.ts';

/** The document as the repository keeps it. */
export const SNAPSHOT = new URL('../../openapi.json', import.meta.url);

export async function printOpenApi(): Promise<string> {
  // Mounting touches none of its services; only requests do.
  const log = pino({ level: 'silent' });
  const services = { adminToken: '', database: {}, ingressSources: {}, log, version } as unknown as Services;
  const response = await createApp(services).request('/openapi.json');
  return `${JSON.stringify(await response.json(), null, 2)}\n`;
}
