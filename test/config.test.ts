import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { environmentSchema, readConfig } from '../src/config.ts';
import { MailgressError } from '../src/core/errors.ts';

const external = {
  DATABASE_URL: 'postgres://u:p@db.example.com/mailgress',
  MAILGRESS_ADMIN_TOKEN: 'a'.repeat(24),
  MAILGRESS_SECRET_KEY: 'k'.repeat(32),
};

function faultsOf(environment: NodeJS.ProcessEnv, options = {}): string[] {
  try {
    readConfig(environment, options);
    return [];
  } catch (error) {
    assert.ok(error instanceof MailgressError);
    assert.equal(error.code, 'configuration');
    for (const { path } of error.faults) assert.match(error.message, new RegExp(path));
    return error.faults.map(({ path }) => path);
  }
}

test('needs nothing: an embedded database on 127.0.0.1:8080', () => {
  const config = readConfig({});
  assert.deepEqual(config.database, { kind: 'embedded' });
  assert.equal(`${config.host}:${config.port}`, '127.0.0.1:8080');
  assert.equal(config.bodyLimitBytes, 52_428_800);
  assert.equal(config.adminToken, undefined);
});

test('a public URL has no password in it: it is shown', () => {
  const MAILGRESS_PUBLIC_URL = 'https://ada:s3cret@mail.example.com';
  assert.deepEqual(faultsOf({ MAILGRESS_PUBLIC_URL }), ['MAILGRESS_PUBLIC_URL']);
  assert.throws(() => readConfig({ MAILGRESS_PUBLIC_URL }), /^(?!.*s3cret)/s);
});

test('takes an empty variable for one that is not set', () => {
  assert.deepEqual(readConfig({ DATABASE_URL: '', PORT: ' ' }), readConfig({}));
});

test('asks for the secret key where the database is not its own, and what serves for the admin key too', () => {
  const alone = { DATABASE_URL: external.DATABASE_URL };
  assert.deepEqual(faultsOf(alone), ['MAILGRESS_SECRET_KEY']);
  assert.deepEqual(faultsOf(alone, { serves: true }), ['MAILGRESS_ADMIN_TOKEN', 'MAILGRESS_SECRET_KEY']);
  assert.deepEqual(readConfig(external).database, { kind: 'url', url: external.DATABASE_URL });
});

test('names every fault at once, and no secret', () => {
  const bad = {
    ...external,
    DATABASE_URL: 'mysql://x',
    PORT: '80a',
    MAILGRESS_ADMIN_TOKEN: 'short-secret',
    MAILGRESS_SECRET_KEY: `${'k'.repeat(32)},too-short`,
    LOG_LEVEL: 'loud',
    MAILGRESS_PUBLIC_URL: 'ftp://x',
  };
  assert.deepEqual(faultsOf(bad).sort(), Object.keys(bad).sort());
  assert.throws(
    () => readConfig(bad),
    (error: Error) => !error.message.includes('short-secret') && !error.message.includes('too-short'),
  );
});

test('reads two secret keys while one is rotated', () => {
  const config = readConfig({ ...external, MAILGRESS_SECRET_KEY: `${'n'.repeat(32)}, ${'o'.repeat(32)}` });
  assert.deepEqual(config.secretKeys, ['n'.repeat(32), 'o'.repeat(32)]);
});

test('prefers its own public URL to the one that Render tells, without the last slash', () => {
  const render = { RENDER_EXTERNAL_URL: 'https://x.onrender.com' };
  assert.equal(readConfig(render).publicUrl, 'https://x.onrender.com');
  assert.equal(
    readConfig({ ...render, MAILGRESS_PUBLIC_URL: 'https://m.example/' }).publicUrl,
    'https://m.example',
  );
});

test('.env.example names exactly the variables that are read, with their defaults', async () => {
  const text = await readFile(new URL('../.env.example', import.meta.url), 'utf8');
  const lines = text.split('\n').filter((line) => /^[A-Z]/.test(line));
  const example = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
  assert.deepEqual(Object.keys(example).sort(), Object.keys(environmentSchema.shape).sort());
  assert.deepEqual(readConfig(example), readConfig({}));
});
