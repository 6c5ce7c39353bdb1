import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createTestDatabase, withDatabase } from '../support/database.ts';
import { query } from '../support/embedded-place.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import {
  assertLine,
  type DoctorStage,
  examine,
  failing,
  lineOf,
  runDoctor,
  startDoctorStage,
} from './stage.ts';

let stage: DoctorStage;
before(async () => {
  stage = await startDoctorStage();
});
after(() => stage[Symbol.asyncDispose]());

const onDatabase = (url: string) => stage.examine({}, { DATABASE_URL: url });

test('on a service that is well it finds nothing, and exits 0', async () => {
  const examined = await stage.examine();
  assert.deepEqual([examined.code, failing(examined), examined.report.warnings], [0, [], 0], examined.text);
  assertLine(examined, 'database.reach', 'ok', /^PostgreSQL 1\d/);
  for (const id of ['rights', 'schema', 'clock', 'notify'])
    assert.equal(lineOf(examined, `database.${id}`).level, 'ok');
});

test('the terminal gets a line each, what to do below it, and a summary last; no colours in a pipe', async () => {
  const { code, stdout } = await runDoctor([], { ...stage.env, MAILGRESS_PUBLIC_URL: 'http://127.0.0.1:1' });
  assert.equal(code, 1);
  const lines = stdout.trimEnd().split('\n');
  const at = lines.findIndex((line) => /^ {2}FAIL {2}http:\/\/127\.0\.0\.1:1 +does not answer/.test(line));
  assert.ok(at > 0, stdout);
  assert.equal(lines[at - 1], 'public url');
  assert.match(lines[at + 1] ?? '', /^ +-> start it/);
  assert.match(lines.at(-1) ?? '', /^1 failure, \d+ ok {2}in \d+\.\d s$/);
  assert.ok(!stdout.includes('\x1b'));
});

describe('configuration', () => {
  test('every fault is a line, and they are all that is told', async () => {
    const examined = await stage.examine(
      {},
      {
        PORT: 'eighty',
        MAILGRESS_SECRET_KEY: 'short',
        GOOGLE_CLIENT_ID: 'alone',
      },
    );
    assert.equal(examined.code, 3);
    assert.deepEqual(examined.report.checks.map(({ subject }) => subject).sort(), [
      'GOOGLE_CLIENT_SECRET',
      'MAILGRESS_SECRET_KEY',
      'PORT',
    ]);
    for (const { area, level } of examined.report.checks)
      assert.deepEqual([area, level], ['configuration', 'fail']);
  });

  test('without the admin key a worker may run, and the line says who needs it', async () => {
    const examined = await stage.examine({}, { MAILGRESS_ADMIN_TOKEN: '' });
    assertLine(examined, 'configuration.environment', 'warn', /worker/, /MAILGRESS_ADMIN_TOKEN/);
  });

  test('an egress rule that is none is one of them', async () => {
    const examined = await stage.examine({}, { MAILGRESS_EGRESS_ALLOW: '*.example.com,10.0.0.0/99' });
    assert.equal(examined.code, 2);
    assert.match(examined.report.checks[0]?.message ?? '', /\*\.example\.com/);
  });

  test('keys that do not open what is stored are found, and an old one beside the new is told', async () => {
    const { body: endpoint } = await stage.service.api('POST', '/v1/endpoints', {
      url: `${stage.service.address}/`,
    });
    const other = 'another-secret-key-of-at-least-32-characters';
    const wrong = await stage.examine({}, { MAILGRESS_SECRET_KEY: other });
    assertLine(
      wrong,
      'configuration.stored-secrets',
      'fail',
      /1 of 1 were sealed with another key/,
      /behind a comma/,
    );
    const both = await stage.examine(
      {},
      {
        MAILGRESS_SECRET_KEY: `${other},${stage.env.MAILGRESS_SECRET_KEY}`,
      },
    );
    assertLine(both, 'configuration.stored-secrets', 'ok', /opens them/);
    assertLine(both, 'configuration.secret-key', 'warn', /2 keys/, /leave the first one/);
    await stage.service.api('DELETE', `/v1/endpoints/${endpoint.id}`);
  });

  test('a --source that is no id is 64, and one that is not there 65', async () => {
    assert.equal((await runDoctor(['--source', 'x'], stage.env)).code, 64);
    assert.equal((await runDoctor(['--source', `src_${'0'.repeat(32)}`], stage.env)).code, 65);
  });
});

describe('a database that', () => {
  test('is out of reach, or refuses us, is one line, and the rest that can be is looked at', async () => {
    const secret = 'not-the-password';
    const wrong = new URL(stage.env.DATABASE_URL ?? '');
    wrong.password = secret;
    const [refused, gone, nobody] = await Promise.all([
      onDatabase(wrong.href),
      onDatabase(
        withDatabase(wrong.href.replace(secret, new URL(stage.env.DATABASE_URL ?? '').password), 'no_such'),
      ),
      onDatabase(`postgres://me:${secret}@127.0.0.1:1/x`),
    ]);
    assertLine(
      refused,
      'database.reach',
      'fail',
      /refuses us: .*password authentication failed/,
      /DATABASE_URL/,
    );
    assertLine(gone, 'database.reach', 'fail', /"no_such" does not exist/);
    assertLine(nobody, 'database.reach', 'fail', /out of reach: ECONNREFUSED/, /host and port/);
    for (const examined of [refused, gone, nobody]) {
      assert.deepEqual(failing(examined), ['database.reach']);
      assert.ok(!examined.text.includes(secret));
      assertLine(examined, 'public-url.reach', 'ok', /answers/);
    }
  });

  test('lacks migrations is told how many, and what to do; one that is ahead is a warning', async () => {
    const empty = await createTestDatabase({ migrated: false });
    const ahead = await createTestDatabase();
    const behind = await createTestDatabase();
    try {
      const last = 'SELECT max(created_at) FROM drizzle.__drizzle_migrations';
      await query(behind.url, `DELETE FROM drizzle.__drizzle_migrations WHERE created_at = (${last})`);
      await query(
        ahead.url,
        `INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('newer', (${last}) + 1)`,
      );
      const [nothing, one, newer] = await Promise.all(
        [empty, behind, ahead].map(({ url }) => onDatabase(url)),
      );
      assert.ok(nothing && one && newer);
      assertLine(nothing, 'database.schema', 'fail', /^\d+ migrations behind/, /mailgress migrate/);
      assertLine(one, 'database.schema', 'fail', /^one migration behind/, /mailgress migrate/);
      assert.deepEqual([failing(nothing), failing(one)], [['database.schema'], ['database.schema']]);
      assertLine(newer, 'database.schema', 'warn', /ahead/, /newer version/);
      assert.equal(newer.code, 0);
    } finally {
      await Promise.all([empty, ahead, behind].map((database) => database.drop()));
    }
  });

  test('does not let our role do what is needed is told which rights it lacks', async () => {
    const { sql, env } = stage;
    const role = `mailgress_doctor_${process.pid}`;
    const [{ name } = { name: '' }] = await sql<{ name: string }[]>`SELECT current_database() AS name`;
    await sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'of-the-test-role'`);
    try {
      await sql.unsafe(`
        GRANT CONNECT ON DATABASE ${name} TO ${role}; GRANT USAGE ON SCHEMA public, drizzle TO ${role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${role};
        GRANT SELECT ON ALL TABLES IN SCHEMA drizzle TO ${role};`);
      const url = new URL(env.DATABASE_URL ?? '');
      [url.username, url.password] = [role, 'of-the-test-role'];
      const enough = await onDatabase(url.href);
      assert.deepEqual(failing(enough), [], enough.text);
      await sql.unsafe(
        `REVOKE INSERT, DELETE ON events FROM ${role}; REVOKE USAGE ON SCHEMA drizzle FROM ${role}`,
      );
      const lacking = await onDatabase(url.href);
      assertLine(
        lacking,
        'database.rights',
        'fail',
        /lacks INSERT, DELETE on table events; USAGE on schema drizzle/,
        /GRANT/,
      );
    } finally {
      await sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });

  test('lies behind what swallows notifications, as a pooler in transaction mode does, is a warning', async () => {
    await using pooler = await startPooler(stage.env.DATABASE_URL ?? '');
    const examined = await onDatabase(pooler.url);
    assertLine(examined, 'database.notify', 'warn', /pooler in transaction mode/, /session mode/);
    assert.equal(examined.code, 0, examined.text);
  });

  test('takes connections and never answers ends no run late, and leaves the others their lines', async () => {
    await using proxy = await startTcpProxy(stage.env.DATABASE_URL ?? '');
    await proxy.vanish();
    const limits = { checkMs: 1000, totalMs: 30_000 };
    const examined = await stage.examine({ limits }, { DATABASE_URL: proxy.url });
    assertLine(examined, 'database.reach', 'fail', /no answer within 1 s/, /firewall/);
    assert.equal(lineOf(examined, 'public-url.reach').area, 'public url');
  });

  test('is a standby, or takes no writes, is told', async () => {
    const database = await createTestDatabase();
    try {
      await query(
        database.url,
        `ALTER DATABASE ${new URL(database.url).pathname.slice(1)} SET default_transaction_read_only = on`,
      );
      assertLine(await onDatabase(database.url), 'database.reach', 'fail', /takes no writes/, /primary/);
    } finally {
      await database.drop();
    }
  });
});

test('where no embedded database was made yet, none is made', async () => {
  const examined = await examine({ MAILGRESS_DATA_DIR: '/tmp/mailgress-doctor-nothing' });
  assertLine(examined, 'database.reach', 'fail', /there is none in/, /`mailgress all` makes one/);
  assert.equal(existsSync('/tmp/mailgress-doctor-nothing'), false);
});

test('an embedded database that cannot be had is a line too', async () => {
  const examined = await examine({ MAILGRESS_DATA_DIR: '/dev/null' });
  assert.equal(examined.code, 1);
  assertLine(examined, 'database.reach', 'fail', /\/dev\/null/);
});

/** A hop that takes NotificationResponse (`A`) out of what the server says: the rest is as it came. */
async function startPooler(target: string): Promise<AsyncDisposable & { url: string }> {
  const { hostname, port } = new URL(target);
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let rest = Buffer.alloc(0);
    upstream.on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= 5 && rest.length >= 1 + rest.readUInt32BE(1)) {
        const end = 1 + rest.readUInt32BE(1);
        if (rest[0] !== 'A'.charCodeAt(0)) client.write(rest.subarray(0, end));
        rest = rest.subarray(end);
      }
    });
    client.on('data', (bytes) => upstream.write(bytes));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => {}).on('close', () => other.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const url = new URL(target);
  url.host = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}
