import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { addSource, startTestService, type TestService } from '../support/service.ts';

let service: TestService;
let mailboxId: string;
let endpointId: string;
before(async () => {
  service = await startTestService({ dispatch: false });
  ({ mailboxId } = await addSource(service));
  const { body } = await service.api('POST', '/v1/endpoints', { url: 'https://example.com/' });
  endpointId = body.id;
});
after(() => service.dispose());

const NOBODY = '0'.repeat(32);
const WORDS = 'must be a time such as 2026-11-01T00:00:00Z';

describe('what is no time is refused, and what a time looks like is told', () => {
  const call = (path: string, body: object, method = 'POST') => service.api(method, path, body);
  const vacation = (from: string, to: string) =>
    call(`/v1/endpoints/${endpointId}`, { rules: { vacation: { from, to } } }, 'PATCH');
  const source = (body: object) => call(`/v1/mailboxes/${mailboxId}/sources`, body);
  const imap = { kind: 'imap', auth: { type: 'password', user: 'me', password: 'x' } };
  for (const [where, path, ask] of [
    ['a replay since', 'since', (since) => call(`/v1/endpoints/${endpointId}/replay`, { since })],
    [
      'a replay until',
      'until',
      (until) => call(`/v1/endpoints/${endpointId}/replay`, { since: '2020-01-01T00:00:00Z', until }),
    ],
    ['a retry', 'since', (since) => call(`/v1/endpoints/${endpointId}/retry`, { since })],
    [
      'a list of deliveries',
      'since',
      (since) => service.api('GET', `/v1/deliveries?since=${encodeURIComponent(since)}`),
    ],
    ['a sync', 'since', (since) => call(`/v1/sources/src_${NOBODY}/sync`, { since })],
    [
      'a source of Gmail',
      'since',
      (since) => source({ kind: 'gmail', auth: { type: 'service-account' }, since }),
    ],
    ['a source of IMAP', 'since', (since) => source({ ...imap, since })],
    ['a vacation from', 'rules.vacation.from', (from) => vacation(from, '2026-12-01T00:00:00Z')],
    ['a vacation to', 'rules.vacation.to', (to) => vacation('2026-01-01T00:00:00Z', to)],
  ] as [string, string, (time: string) => ReturnType<TestService['api']>][])
    test(where, async () => {
      for (const time of ['2026-11-01', 'yesterday', '2026-11-01T00:00:00', '2026-11-01T00:00:00+25:00']) {
        const { status, body } = await ask(time);
        assert.deepEqual([status, body.errors], [400, [{ path, message: WORDS }]], time);
      }
    });
});

describe('a time may have an offset', () => {
  const replaySince = async (since: string) => {
    const { status, body } = await service.api('POST', `/v1/endpoints/${endpointId}/replay`, { since });
    assert.equal(status, 202, JSON.stringify(body));
    return body.since;
  };

  for (const [given, is] of [
    ['2025-11-01T00:00:00+01:00', '2025-10-31T23:00:00.000Z'],
    ['2025-11-01T00:00:00.5-02:30', '2025-11-01T02:30:00.500Z'],
    ['2025-11-01T00:00:00Z', '2025-11-01T00:00:00.000Z'],
    // Before the first that counts.
    ['0000-01-01T00:00:00+01:00', '1970-01-01T00:00:00.000Z'],
  ] as const)
    test(`${given} is ${is}`, async () => assert.equal(await replaySince(given), is));

  test('that leads beyond the year 9999, which is the end of time then', async () => {
    const body = { since: '2025-11-01T00:00:00Z', until: '9999-12-31T23:59:59-14:00' };
    const made = await service.api('POST', `/v1/endpoints/${endpointId}/replay`, body);
    assert.deepEqual([made.status, made.body.until], [202, '9999-12-31T23:59:59.999Z']);
  });

  test('in a filter as well', async () => {
    const since = encodeURIComponent('2025-11-01T00:00:00+01:00');
    assert.equal((await service.api('GET', `/v1/deliveries?since=${since}`)).status, 200);
  });
});
