import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { environmentSchema, readConfig } from '../../src/config.ts';
import {
  blueprintSchema,
  createEnvironments,
  platformEnvironment,
  readBlueprint,
  serviceOf,
} from './blueprint.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const blueprint = await readBlueprint(root);

test('render.yaml names only what it defines, all of it in one region', () => {
  const databases = blueprint.databases.map(({ name }) => name);
  const groups = blueprint.envVarGroups.map(({ name }) => name);
  for (const one of blueprint.services.flatMap(({ envVars }) => envVars)) {
    if ('fromDatabase' in one) assert.ok(databases.includes(one.fromDatabase.name), one.fromDatabase.name);
    if ('fromGroup' in one) assert.ok(groups.includes(one.fromGroup), one.fromGroup);
  }
  const regions = [...blueprint.services, ...blueprint.databases].map(({ region }) => region);
  assert.equal(new Set(regions).size, 1, `regions ${regions.join(', ')}`);
});

test('every variable of render.yaml is one that Mailgress reads, and none is a secret in plain text', () => {
  // The last is Node's own.
  const known = [...Object.keys(environmentSchema.shape), 'NODE_OPTIONS'];
  const all = [...blueprint.services, ...blueprint.envVarGroups].flatMap(({ envVars }) => envVars);
  for (const one of all) {
    if (!('key' in one)) continue;
    assert.ok(known.includes(one.key), one.key);
    if ('value' in one) assert.doesNotMatch(one.key, /SECRET|TOKEN|KEY|URL|JSON/);
  }
});

test('web service and worker share the secret key, and their configuration is complete with nothing entered', () => {
  const environmentOf = createEnvironments(blueprint, { databaseUrl: 'postgresql://u:p@dpg-1/mailgress' });
  const [web, worker] = (['web', 'worker'] as const).map((type) => {
    const service = serviceOf(blueprint, type);
    const environment = { ...environmentOf(service), ...platformEnvironment(service, 10_000) };
    return readConfig(environment, { serves: type === 'web' });
  });
  assert.deepEqual(web?.secretKeys, worker?.secretKeys);
  assert.equal(web?.host, '0.0.0.0');
  assert.equal(web?.port, 10_000);
  assert.equal(web?.publicUrl, 'https://mailgress.onrender.com');
});

test('pre-deploy and start commands need no shell, and read what render.yaml says of itself for other plans', async () => {
  // Whether these are given to a shell is nowhere said: with plain words it makes no difference.
  const commands = blueprint.services.flatMap((one) => [
    one.startCommand,
    ...('preDeployCommand' in one && one.preDeployCommand !== undefined ? [one.preDeployCommand] : []),
  ]);
  for (const command of commands) assert.match(command, /^node bin\/mailgress\.js [a-z -]+$/);
  const remarks = await readFile(join(root, 'render.yaml'), 'utf8');
  for (const command of ['all', 'serve --migrate'])
    assert.ok(remarks.includes(`startCommand: node bin/mailgress.js ${command}`), command);
});

test('the free plan of the remarks is valid once what they name is deleted, and not before', async () => {
  const text = await readFile(join(root, 'render.yaml'), 'utf8');
  const document = parse(text) as {
    services: Record<string, unknown>[];
    databases: Record<string, unknown>[];
  };
  document.services = document.services.filter(({ type }) => type !== 'worker');
  for (const one of [...document.services, ...document.databases]) one.plan = 'free';
  assert.equal(blueprintSchema.safeParse(document).success, false);
  for (const one of document.services) {
    delete one.preDeployCommand;
    delete one.maxShutdownDelaySeconds;
  }
  assert.equal(blueprintSchema.safeParse(document).success, true);
});

test('a Blueprint that Render would not take is told', () => {
  const wrong = structuredClone(blueprint) as { services: Record<string, unknown>[] };
  for (const [key, value] of [
    ['healthcheckPath', '/'],
    ['plan', 'basic-256mb'],
    ['maxShutdownDelaySeconds', 301],
  ] as const) {
    const changed = structuredClone(wrong);
    Object.assign(changed.services[0] ?? {}, { [key]: value });
    assert.equal(blueprintSchema.safeParse(changed).success, false, key);
  }
});
