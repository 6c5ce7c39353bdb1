import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { environmentSchema } from '../../src/config.ts';
import { readBlueprint, serviceOf } from './blueprint.ts';

/* Every variable reaches what is deployed, by each way of deploying, or is told here why it need not. */

const root = fileURLToPath(new URL('../..', import.meta.url));

const NOT_DEPLOYED: Record<string, string> = {
  MAILGRESS_DATA_DIR: 'of the embedded database',
  HOST: 'a deployment has its own',
  PORT: 'a deployment has its own',
  RENDER_EXTERNAL_URL: 'Render sets it',
  MAILGRESS_SOURCE_SECRET: 'of `mailgress send`',
  GOOGLE_API_URL: 'for emulators and proxies',
  GOOGLE_TOKEN_URL: 'for emulators and proxies',
  GOOGLE_OIDC_CERTS_URL: 'for emulators and proxies',
  GOOGLE_OIDC_ISSUER: 'for emulators and proxies',
  MICROSOFT_TOKEN_URL: 'for emulators and proxies',
};

/** What the worker does not read: it has no API, and reads no mailbox by Gmail's. */
const OF_THE_WEB_SERVICE = new Set([
  'MAILGRESS_ADMIN_TOKEN',
  'MAILGRESS_METRICS_TOKEN',
  'MAILGRESS_PUBLIC_URL',
  'MAILGRESS_SOURCE_MAILS_PER_SECOND',
  'MAILGRESS_PUBSUB_AUDIENCE',
  'MAILGRESS_PUBSUB_SERVICE_ACCOUNT',
  'GMAIL_TOPIC',
  'GOOGLE_SERVICE_ACCOUNT_JSON',
]);

const ofWeb = Object.keys(environmentSchema.shape).filter((name) => !(name in NOT_DEPLOYED));
const ofWorker = ofWeb.filter((name) => !OF_THE_WEB_SERVICE.has(name));
const sorted = (names: Iterable<string>) => [...new Set(names)].sort();
const read = (path: string) => readFile(join(root, path), 'utf8');

test('compose.yaml passes them on, to the worker what it reads', async () => {
  const { services } = parse(await read('compose.yaml'), { merge: true });
  assert.deepEqual(sorted(Object.keys(services.web.environment)), sorted(ofWeb));
  assert.deepEqual(sorted(Object.keys(services.worker.environment)), sorted(ofWorker));
});

test('render.yaml passes them on, or says that they can be added', async () => {
  const blueprint = await readBlueprint(root);
  const [, remarks = ''] =
    /can be added to the environment of a service:(.*?)\n#\n/s.exec(await read('render.yaml')) ?? [];
  const [toWeb = '', toBoth = ''] = remarks.split('to the web service;');
  const named = (text: string) => text.match(/[A-Z]+(?:_[A-Z]+)+/g) ?? [];
  for (const [type, wanted, added] of [
    ['web', ofWeb, [...named(toWeb), ...named(toBoth)]],
    ['worker', ofWorker, named(toBoth)],
  ] as const) {
    const given = serviceOf(blueprint, type).envVars.flatMap((one) => {
      if (!('fromGroup' in one)) return [one.key];
      const group = blueprint.envVarGroups.find(({ name }) => name === one.fromGroup);
      return group?.envVars.map(({ key }) => key) ?? [];
    });
    // Node's own, and the one that Render has no default for.
    const ours = given.filter((key) => key !== 'NODE_OPTIONS' && key !== 'HOST');
    assert.deepEqual(sorted([...ours, ...added]), sorted(wanted), type);
  }
});

test("the remarks of the worker's unit name what it reads", async () => {
  const [remarks = ''] = (await read('deploy/mailgress-worker.service')).split('[Unit]');
  const named = remarks.match(/[A-Z]+(?:_[A-Z]+)+/g) ?? [];
  assert.deepEqual(sorted(named), sorted(ofWorker));
});
