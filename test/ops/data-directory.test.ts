import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  openDataDirectory,
  readInstance,
  readOrCreateSecret,
  removeInstance,
  writeInstance,
} from '../../src/ops/data-directory.ts';

const isRoot = process.getuid?.() === 0;
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'mailgress-data-'));
});
after(() => rm(root, { recursive: true }));

describe('openDataDirectory', () => {
  test('makes it ours alone, but lets PostgreSQL’s user pass when we are root, whatever the umask', async () => {
    const path = join(root, 'made', 'here');
    const umask = process.umask(0o077);
    assert.equal(await openDataDirectory(path), path);
    process.umask(umask);
    assert.equal(await modeOf(path), isRoot ? 0o711 : 0o700);
  });

  test('leaves an existing one as it is', async () => {
    const path = join(root, 'existing');
    await mkdir(path);
    await chmod(path, 0o750);
    await openDataDirectory(path);
    assert.equal(await modeOf(path), 0o750);
  });

  test('says what is wrong with one that is a file', async () => {
    const path = join(root, 'file');
    await writeFile(path, '');
    await assert.rejects(openDataDirectory(path), {
      code: 'configuration',
      message: new RegExp(`^${path} cannot be used as the data directory: .*MAILGRESS_DATA_DIR`),
    });
  });
});

describe('readOrCreateSecret', () => {
  test('makes a secret once, in a file 0600, and leaves nothing else', async () => {
    const directory = await mkdtemp(join(root, 'secret-'));
    assert.equal(await readOrCreateSecret(directory, 'token', () => 'first'), 'first');
    assert.equal(await readOrCreateSecret(directory, 'token', () => 'second'), 'first');
    assert.equal(await modeOf(join(directory, 'token')), 0o600);
    assert.deepEqual(await readdir(directory), ['token']);
  });

  test('gives all who start at once the same secret', async () => {
    const directory = await mkdtemp(join(root, 'race-'));
    const secrets = await Promise.all(
      Array.from({ length: 20 }, (_, n) => readOrCreateSecret(directory, 'token', () => `secret ${n}`)),
    );
    assert.equal(new Set(secrets).size, 1);
    assert.deepEqual(await readdir(directory), ['token']);
  });

  test('takes one that a person wrote, without the white space around it', async () => {
    const directory = await mkdtemp(join(root, 'written-'));
    await writeFile(join(directory, 'token'), '  by hand \r\n\n');
    assert.equal(await readOrCreateSecret(directory, 'token', () => 'generated'), 'by hand');
  });

  for (const content of ['', ' \n'])
    test(`refuses a file that holds ${JSON.stringify(content)} instead of filling it`, async () => {
      const directory = await mkdtemp(join(root, 'empty-'));
      const path = join(directory, 'token');
      await writeFile(path, content);
      await assert.rejects(
        readOrCreateSecret(directory, 'token', () => 'generated'),
        { code: 'configuration', message: new RegExp(`^${path} is empty, but should hold a secret`) },
      );
      assert.equal(await readFile(path, 'utf8'), content);
    });

  test('names the file when it cannot be written', async () => {
    const directory = join(root, 'nowhere');
    await assert.rejects(
      readOrCreateSecret(directory, 'token', () => 'generated'),
      { code: 'configuration', message: new RegExp(`^${directory}/token cannot be read or created: ENOENT`) },
    );
  });
});

describe('the running instance', () => {
  const instance = {
    pid: 4711,
    url: 'http://127.0.0.1:8080',
    startedAt: new Date('2026-11-20T10:00:00.000Z'),
  };

  test('is read back as written, and the last one counts', async () => {
    const directory = await mkdtemp(join(root, 'instance-'));
    assert.equal(await readInstance(directory), undefined);
    await writeInstance(directory, { ...instance, pid: 1 });
    await writeInstance(directory, instance);
    assert.deepEqual(await readInstance(directory), instance);
    assert.equal(await modeOf(join(directory, 'instance.json')), 0o600);
    assert.deepEqual(await readdir(directory), ['instance.json']);
  });

  test('is removed by the process it names and by no other', async () => {
    const directory = await mkdtemp(join(root, 'removal-'));
    await removeInstance(directory);
    await writeInstance(directory, instance);
    await removeInstance(directory, 4712);
    assert.deepEqual(await readInstance(directory), instance);
    await removeInstance(directory, 4711);
    assert.equal(await readInstance(directory), undefined);
  });

  for (const text of [
    '',
    '{',
    '[]',
    '{"pid":-1,"url":"http://x/","startedAt":"2026-11-20"}',
    '{"pid":1,"url":"x"}',
  ])
    test(`counts as none when the file holds ${JSON.stringify(text)}`, async () => {
      const directory = await mkdtemp(join(root, 'broken-'));
      await writeFile(join(directory, 'instance.json'), text);
      assert.equal(await readInstance(directory), undefined);
    });
});
