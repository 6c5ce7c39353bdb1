import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { startConsumer } from '../support/consumer.ts';
import { createDataDirectory, watchMailgress } from '../support/process.ts';
import { batch, gmailItem, mailOf, push } from '../support/service.ts';
import { createFolder, type Folder, hostEnvironment, root, runCommand } from './checkout.ts';

/* The package as npm makes it of the work tree, installed where nothing of the work tree is. */

type Packed = { filename: string; size: number; unpackedSize: number; files: { path: string }[] };

let folder: Folder;
let installed: string;
let packed: Packed;

before(async () => {
  folder = await createFolder();
  const command = `npm pack --json --foreground-scripts=false --pack-destination "${folder.path}"`;
  packed = JSON.parse(await runCommand(command, root))[0];
  installed = join(folder.path, 'empty');
  await mkdir(installed);
  await runCommand(`npm install --no-audit --no-fund ../${packed.filename}`, installed);
});
after(() => folder[Symbol.asyncDispose]());

test('the package holds the compiled sources, migrations, the Apps Script and examples, and nothing else', async (t) => {
  t.diagnostic(
    `${packed.files.length} files, packed ${packed.size} bytes, unpacked ${packed.unpackedSize} bytes`,
  );
  const sources = (await readdir(join(root, 'src'), { recursive: true })).filter((file) =>
    file.endsWith('.ts'),
  );
  const migrations = (await readdir(join(root, 'drizzle'))).filter((file) => file.endsWith('.sql'));
  const expected = [
    'LICENSE',
    'README.md',
    'apps-script/Code.ts',
    'apps-script/appsscript.json',
    'bin/mailgress.js',
    'drizzle/meta/_journal.json',
    'examples/consumer.mjs',
    'examples/hello.eml',
    'package.json',
    ...migrations.map((file) => `drizzle/${file}`),
    ...sources.map((file) => `dist/${file.replace(/\.ts$/, '.js')}`),
  ];
  assert.deepEqual(packed.files.map(({ path }) => path).sort(), expected.sort());
});

test('every module of the package loads with what the package asks for', async () => {
  const dist = join(installed, 'node_modules/mailgress/dist');
  const programs = ['main.js', join('prepare', 'thread.js')];
  const modules = (await readdir(dist, { recursive: true }))
    .filter((file) => file.endsWith('.js') && !programs.includes(file))
    .map((file) => `await import('./${relative(installed, join(dist, file))}');`);
  await writeFile(join(installed, 'load.mjs'), [...modules, 'console.log("all loaded");'].join('\n'));
  assert.match(await runCommand('node load.mjs', installed), /all loaded/);
});

test('`npx mailgress` in an empty directory starts on an embedded database, takes mail and delivers it', async () => {
  await using directory = await createDataDirectory();
  await using consumer = await startConsumer();
  const env = { MAILGRESS_DATA_DIR: directory.path };
  // In a group of its own, as a terminal would run it.
  await using all = watchMailgress(
    spawn('npx', ['mailgress', 'all'], {
      cwd: installed,
      env: { ...hostEnvironment(), ...env, PORT: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    }),
  );
  try {
    const address = await all.ready();
    const command = (args: string) => runCommand(`node_modules/.bin/mailgress ${args}`, installed, env);
    const endpoint = JSON.parse(await command(`endpoint add ${consumer.url} --json`));
    await all.prints('npx mailgress send node_modules/mailgress/examples/hello.eml');
    assert.match(await command('send node_modules/mailgress/examples/hello.eml'), /^accepted msg_/m);
    const [webhook] = await consumer.waitFor(1);
    assert.ok(webhook);
    new Webhook(endpoint.secret).verify(webhook.body, webhook.headers as Record<string, string>);

    await command('mailbox add me@example.com');
    const source = JSON.parse(await command('source add --kind apps-script --mailbox me@example.com --json'));
    assert.match(await command(`source script ${source.id}`), /^function /m);
    // Several at once, so that the thread reads them.
    const mails = Array.from({ length: 20 }, (_, n) =>
      gmailItem(`18c0ff${n + 10}`, mailOf(`Of the batch ${n}`)),
    );
    const answer = await push(
      { ...source, ingestUrl: `${address}/v1/ingest/apps-script/${source.id}` },
      batch(mails),
    );
    assert.equal(answer.status, 200);
    await consumer.waitFor(21);
    assert.doesNotMatch(all.stderr(), /lost a thread/);
  } finally {
    process.kill(-all.pid, 'SIGTERM');
    await all.ended;
  }
  assert.equal(await directory.postmaster(), undefined, 'the database has stopped');
});

test('the package has the version of package.json, and may be published', async () => {
  const { version, private: isPrivate } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  assert.equal(isPrivate, undefined);
  assert.equal(packed.filename, `mailgress-${version}.tgz`);
  assert.match(await runCommand('npx mailgress --version', installed), new RegExp(`^${version}$`, 'm'));
});
