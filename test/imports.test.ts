import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/*
 * The one import rule (ARCHITECTURE.md): data flows source -> ingest -> store -> deliver, the core is pure, and what
 * may import what is this table. A place that is not in it may import everything (the wiring: main, service, cli).
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  core: ['core'],
  store: ['store', 'core'],
  sources: ['sources', 'core'],
  deliver: ['deliver', 'core', 'store'],
  prepare: ['prepare', 'core', 'store'],
  'ingest.ts': ['core', 'prepare', 'store'],
  gmail: ['gmail', 'core', 'store', 'sources', 'ingest.ts', 'config.ts'],
  imap: ['imap', 'core', 'store', 'sources', 'ingest.ts', 'config.ts'],
  doctor: ['doctor', 'core', 'store', 'sources', 'gmail', 'imap', 'deliver', 'config.ts'],
  http: ['http', 'core', 'store', 'ingest.ts', 'sources', 'gmail', 'imap', 'deliver', 'doctor', 'ops'],
  dashboard: ['dashboard', 'core', 'store', 'ingest.ts', 'sources', 'deliver', 'ops'],
  ops: ['ops', 'core', 'store'],
  'config.ts': ['core'],
  'version.ts': [],
};

/** Packages that a place is held to; the others may use any. */
const PACKAGES: Record<string, readonly string[]> = {
  core: ['zod', 'postal-mime', 'ipaddr.js', 'ical.js', 'node:crypto'],
  'store/schema.ts': ['drizzle-orm', 'drizzle-orm/pg-core'],
};

const root = fileURLToPath(new URL('../src', import.meta.url));

type Import = { from: string; to: string };

async function readImports(): Promise<Import[]> {
  const files = (await readdir(root, { recursive: true })).filter((file) => file.endsWith('.ts'));
  const imports = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(root, file), 'utf8');
      const specifiers = [
        ...text.matchAll(
          /^(?:import|export)\b[^'"]*?from\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gms,
        ),
      ];
      return specifiers.map((match) => ({ from: file, to: match[1] ?? match[2] ?? '' }));
    }),
  );
  return imports.flat();
}

const placeOf = (file: string) => file.split('/')[0] ?? file;
const isLocal = (specifier: string) => specifier.startsWith('.');
const targetOf = ({ from, to }: Import) => normalize(relative('.', join(dirname(from), to)));

test('imports go the one way', async () => {
  const imports = await readImports();
  assert.ok(imports.length > 100, 'found the imports');
  const breaches = imports.filter((one) => {
    const allowed = MAY_IMPORT[placeOf(one.from)];
    if (!isLocal(one.to) || allowed === undefined) return false;
    const target = targetOf(one);
    return !target.startsWith('..') && !allowed.includes(placeOf(target));
  });
  assert.deepEqual(breaches, []);
});

test('schema.ts imports drizzle-orm alone, and core what is pure', async () => {
  const breaches = (await readImports()).filter(({ from, to }) => {
    if (from === 'store/schema.ts') return !PACKAGES[from]?.includes(to);
    const packages = PACKAGES[placeOf(from)];
    return packages !== undefined && !isLocal(to) && !packages.includes(to);
  });
  assert.deepEqual(breaches, []);
});

test('sources never import one another', async () => {
  const originOf = (file: string) => file.split('/').slice(0, 2).join('/').replace(/\.ts$/, '');
  const breaches = (await readImports()).filter((one) => {
    const target = targetOf(one);
    if (!isLocal(one.to) || placeOf(one.from) !== 'sources' || placeOf(target) !== 'sources') return false;
    return originOf(one.from) !== originOf(target);
  });
  assert.deepEqual(breaches, []);
});

test('no file is reached from itself', async () => {
  const edges = new Map<string, string[]>();
  for (const one of await readImports()) {
    if (isLocal(one.to)) edges.set(one.from, [...(edges.get(one.from) ?? []), targetOf(one)]);
  }
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
    if (done.has(file) || path.includes(file)) return;
    for (const target of edges.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  assert.deepEqual(circles, []);
});

test('config.ts alone reads the environment', async () => {
  const files = (await readdir(root, { recursive: true })).filter((file) => file.endsWith('.ts'));
  const readers = [];
  for (const file of files) {
    if ((await readFile(join(root, file), 'utf8')).includes('process.env')) readers.push(file);
  }
  assert.deepEqual(readers, ['config.ts']);
});
