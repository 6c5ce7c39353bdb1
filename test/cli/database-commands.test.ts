import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createTestDatabase, withDatabase } from '../support/database.ts';
import { query } from '../support/embedded-place.ts';
import { type Ended, startMailgress } from '../support/process.ts';
import { ADMIN_TOKEN, SECRET_KEY } from '../support/service.ts';

let migrated: Awaited<ReturnType<typeof createTestDatabase>>;
let empty: Awaited<ReturnType<typeof createTestDatabase>>;
before(async () => {
  migrated = await createTestDatabase();
  empty = await createTestDatabase({ migrated: false });
});
after(async () => {
  await migrated.drop();
  await empty.drop();
});

const environment = (url: string) => ({
  DATABASE_URL: url,
  MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
  MAILGRESS_SECRET_KEY: SECRET_KEY,
});

async function run(args: string[], env: Record<string, string>): Promise<Ended> {
  await using command = startMailgress(args, env);
  return await command.ended;
}

const tablesOf = async (url: string) =>
  (await query(url, `SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'drizzle')`)).length;

/** One line for a person, and nothing on standard output. */
function assertRefused({ code, stdout, told, stderr }: Ended, exitCode: number, ...words: RegExp[]): void {
  assert.equal(code, exitCode, stderr);
  assert.equal(stdout, '');
  assert.equal(told.length, 1, stderr);
  for (const word of words) assert.match(told[0] ?? '', word);
}

describe('serve', () => {
  test('on a database that was never migrated is refused, says what to do and leaves it alone', async () => {
    assertRefused(await run(['serve'], environment(empty.url)), 69, /mailgress migrate/, /serve --migrate/);
    assert.equal(await tablesOf(empty.url), 0);
  });

  test('on a database that a newer version has migrated warns, and runs', async () => {
    const ahead = await createTestDatabase();
    try {
      await query(
        ahead.url,
        `INSERT INTO drizzle.__drizzle_migrations (hash, created_at)
         SELECT 'newer', max(created_at) + 1 FROM drizzle.__drizzle_migrations`,
      );
      await using serve = startMailgress(['serve'], environment(ahead.url));
      assert.equal((await fetch(`${await serve.ready()}/readyz`)).status, 200);
      serve.kill('SIGTERM');
      const { code, stderr } = await serve.ended;
      assert.equal(code, 0);
      const warnings = stderr.split('\n').filter((line) => line.includes('"level":"warn"'));
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? '', /newer version/);
    } finally {
      await ahead.drop();
    }
  });

  test('with a database that is out of reach, or refuses us, says so in a line that holds no password', async () => {
    const url = new URL(migrated.url);
    const secret = 'not-the-password';
    url.password = secret;
    const [wrongPassword, noDatabase, nobody] = await Promise.all([
      run(['serve'], environment(url.href)),
      run(['serve'], environment(withDatabase(migrated.url, 'no_such_database'))),
      // Port 1 is tcpmux's, which nobody runs.
      run(['serve'], environment('postgres://me:not-the-password@127.0.0.1:1/x')),
    ]);
    assertRefused(wrongPassword, 78, /password authentication failed/);
    assertRefused(noDatabase, 78, /no_such_database/);
    assertRefused(nobody, 69, /out of reach/, /127\.0\.0\.1:1/);
    for (const { stderr } of [wrongPassword, nobody]) assert.ok(!stderr.includes(secret));
  });
});

describe('migrate', () => {
  test('by four at once, and then again, succeeds for each; serve runs on what they made', async () => {
    const atOnce = await Promise.all(
      Array.from({ length: 4 }, () => run(['migrate'], environment(empty.url))),
    );
    for (const { code, stdout, stderr } of [...atOnce, await run(['migrate'], environment(empty.url))])
      assert.deepEqual([code, stdout], [0, 'The database is up to date.\n'], stderr);
    assert.equal(await tablesOf(empty.url), await tablesOf(migrated.url));
    await using serve = startMailgress(['serve'], environment(empty.url));
    assert.equal((await fetch(`${await serve.ready()}/readyz`)).status, 200);
  });
});

describe('the command line', () => {
  for (const [name, args, word] of [
    ['a command that does not exist', ['serv'], /unknown command/],
    ['an option that does not exist', ['serve', '--fast'], /unknown option/],
    ['an argument that is missing', ['send'], /missing required argument/],
    ['no command', [], /Usage: mailgress/],
  ] as const)
    test(`answers ${name} with 64 and help`, async () => {
      const { code, stdout, stderr } = await run([...args], {});
      assert.equal(code, 64, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, word);
      assert.match(stderr, /--help/);
    });

  test('asked for help or its version answers on standard output and exits 0', async () => {
    const [help, version] = await Promise.all([run(['--help'], {}), run(['--version'], {})]);
    assert.deepEqual([help.code, help.stderr, version.code, version.stderr], [0, '', 0, '']);
    for (const command of ['all', 'serve', 'migrate', 'send'])
      assert.match(help.stdout, RegExp(`^ {2}${command}`, 'm'));
    assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  });
});
