import assert from 'node:assert/strict';
import { access, glob, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { createProgram } from '../src/cli/program.ts';

/* What the documents say of this repository is held against it: files, commands and their options, variables. */

const root = fileURLToPath(new URL('..', import.meta.url));
const paths: string[] = [];
for await (const path of glob(['*.md', 'docs/*.md', 'apps-script/*.md'], { cwd: root })) paths.push(path);
const documents = await Promise.all(
  paths.map(async (path) => ({ path, text: await readFile(join(root, path), 'utf8') })),
);

function matches(pattern: RegExp): { path: string; found: string }[] {
  return documents.flatMap(({ path, text }) =>
    [...text.matchAll(pattern)].map(([, found = '']) => ({ path, found })),
  );
}

test('there are documents', () => assert.ok(paths.length >= 8, paths.join(' ')));

test('each link to a file leads to one, and to a heading that is there', async () => {
  for (const { path, found } of matches(/\]\((?!https?:)([^)\s]+)\)/g)) {
    const [file = '', heading] = found.split('#');
    const target = file === '' ? path : join(dirname(path), file);
    await access(join(root, target)).catch(() => assert.fail(`${path}: there is no ${found}`));
    if (heading === undefined) continue;
    const text = await readFile(join(root, target), 'utf8');
    const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    assert.ok(headings.includes(heading), `${path}: ${target} has no heading #${heading}`);
  }
});

/** The command that words name, as far as they do. */
function findCommand(words: readonly string[]): { command: Command; left: string[] } {
  let command = createProgram();
  const left = [...words];
  for (;;) {
    const [next] = left;
    const found = command.commands.find((one) => one.name() === next);
    if (found === undefined) return { command, left };
    command = found;
    left.shift();
  }
}

test('each command that is written out exists, with the options that it is given', () => {
  const lines = matches(/(?:^(?:npx )?|`(?:npx )?|(?:run|npx) )mailgress((?: [^\n`|;#]+)?)(?=[\n`|;#])/gm);
  assert.ok(lines.length > 40, `${lines.length} commands`);
  for (const { path, found } of lines) {
    // A remark stands behind two spaces.
    const words = (found.trim().split(/\s{2,}/)[0] ?? '').split(/\s+/).filter((word) => word !== '');
    const [first] = words;
    if (first === undefined || first.startsWith('<') || !/^[a-z-]+$/.test(first)) continue;
    const { command, left } = findCommand(words);
    assert.ok(command.parent !== null || first.startsWith('--'), `${path}: mailgress ${found}`);
    const known = command.options.flatMap(({ long, short }) => [long, short]);
    for (const option of left.filter((word) => /^--[a-z]/.test(word))) {
      const name = option.split('=')[0]?.replace(/\W+$/, '') ?? '';
      assert.ok(known.includes(name) || name === '--help', `${path}: mailgress ${found}: no ${option}`);
    }
  }
});

test('each command is written so that a shell finds it: nothing puts mailgress on its path', () => {
  // What the doctor prints of commands, in the README's sample of it, is its own.
  const bare = matches(/^(?!\s+-> )(.*(?:^|`|\$ )mailgress [a-z<-].*)$/gm).filter(
    ({ found }) => !/^ *(?:gcloud|psql) /.test(found),
  );
  assert.deepEqual(
    bare.filter(({ path }) => path !== 'CHANGELOG.md'),
    [],
  );
});

test('what the program says names no file that its package leaves out', async () => {
  const { files } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { files: string[] };
  const travels = (file: string) =>
    file === 'README.md' || files.some((one) => file === one || file.startsWith(`${one}/`));
  for await (const path of glob('src/**/*.ts', { cwd: root })) {
    const text = await readFile(join(root, path), 'utf8');
    const said = text.replace(/\/\*[\s\S]*?\*\/|^import .*$|(?<!:)\/\/.*$/gm, '');
    for (const [file] of said.matchAll(
      /\.env\.example|\b(?:docs|deploy|bench)\/\w[\w.-]*|\b[\w-]+\.(?:ya?ml|md)\b/g,
    ))
      assert.ok(travels(file), `${path} says ${file}`);
  }
});

test('each variable that is named is one that it reads', async () => {
  const example = await readFile(join(root, '.env.example'), 'utf8');
  const known = new Set([...example.matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => name));
  for (const { path, found } of matches(
    /\b(MAILGRESS_[A-Z_]+|GOOGLE_[A-Z_]+|MICROSOFT_[A-Z_]+|GMAIL_[A-Z_]+)\b/g,
  )) {
    if (found.startsWith('MAILGRESS_TEST_')) continue;
    assert.ok(known.has(found), `${path}: ${found}`);
  }
});
