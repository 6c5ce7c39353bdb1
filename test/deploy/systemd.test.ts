import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { EXIT } from '../../src/cli/exit.ts';
import { createFolder, root } from './checkout.ts';

const run = promisify(execFile);
const unit = await readFile(join(root, 'deploy/mailgress-worker.service'), 'utf8');
const settings = unit
  .split('\n')
  .filter((line) => /^\w+=/.test(line))
  .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
const settingOf = (name: string) => settings.find(([key]) => key === name)?.[1];

const isThere = await run('systemd-analyze', ['--version']).then(
  () => true,
  () => false,
);
const options = { skip: isThere ? false : 'systemd-analyze is not installed' };

test('the unit is restarted whenever it ends, but for what another start would not mend', () => {
  assert.equal(settingOf('Restart'), 'always');
  assert.equal(settingOf('StartLimitIntervalSec'), '0');
  assert.equal(settingOf('RestartPreventExitStatus'), `${EXIT.usage} ${EXIT.configuration}`);
  assert.equal(settingOf('ExecStart'), '/usr/bin/node /opt/mailgress/bin/mailgress.js worker');
});

test('systemd finds no fault in the unit', options, async () => {
  await using folder = await createFolder();
  const file = join(folder.path, 'mailgress-worker.service');
  // Its Node need not be where ours is.
  await writeFile(file, unit.replace('/usr/bin/node', process.execPath));
  const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', file]);
  assert.equal(stdout + stderr, '');
});

test('the worker is fenced in: systemd counts an exposure below 2 of 10', options, async () => {
  await using folder = await createFolder();
  const file = join(folder.path, 'mailgress-worker.service');
  await writeFile(file, unit);
  const { stdout } = await run('systemd-analyze', ['security', '--offline=true', '--no-pager', file]);
  const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]);
  assert.ok(exposure < 2, `exposure ${exposure}`);
});
