/** A body that each route takes, so that nothing but what a test changes can be wrong with it. */
export const BODIES: Record<string, Record<string, unknown>> = {
  'POST /v1/mailboxes': { address: 'me@example.com' },
  'PATCH /v1/mailboxes/{id}': { address: 'me@example.com' },
  'POST /v1/mailboxes/{id}/sources': { kind: 'raw' },
  'POST /v1/mailboxes/{id}/connect': { provider: 'google' },
  'PATCH /v1/sources/{id}': { settings: {} },
  'POST /v1/sources/{id}/sync': {},
  'POST /v1/endpoints': { url: 'https://example.com/' },
  'PATCH /v1/endpoints/{id}': { description: 'changed' },
  'POST /v1/endpoints/{id}/replay': { since: '2026-11-01T00:00:00.000Z' },
  'POST /v1/endpoints/{id}/retry': { since: '2026-11-01T00:00:00.000Z' },
  'POST /v1/keys': { role: 'reader' },
};
