/*
 * Fails when src/store/schema.ts and drizzle/ disagree: generates migrations beside a copy of those there are, and
 * expects none.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const copy = mkdtempSync(join(tmpdir(), 'mailgress-migrations-'));
const migrations = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.sql'));

try {
  cpSync(join(root, 'drizzle'), copy, { recursive: true });
  const args = ['generate', '--dialect', 'postgresql', '--schema', 'src/store/schema.ts'];
  // drizzle-kit takes the folder as relative to where it runs.
  const run = spawnSync('drizzle-kit', [...args, '--out', relative(root, copy)], {
    cwd: root,
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(`drizzle-kit failed:\n${run.stdout}${run.stderr}${run.error ?? ''}`);
  const missing = migrations(copy).filter((name) => !migrations(join(root, 'drizzle')).includes(name));
  if (missing.length > 0) {
    console.error(
      'src/store/schema.ts has changes without a migration: run `npm run migrations` and commit drizzle/',
    );
    process.exitCode = 1;
  }
} finally {
  rmSync(copy, { recursive: true });
}
