import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { createContext, Script } from 'node:vm';
import { fillInScript, readScript } from '../../src/sources/apps-script/script.ts';

const configuration = {
  url: 'https://mail.example.com',
  sourceId: `src_${'0'.repeat(32)}`,
  secret: `whsec_${'A'.repeat(43)}=`,
  version: '1.2.3',
};

/** The script's constants, as its own code sees them. */
function constantsOf(script: string): Record<string, unknown> {
  const names = ['MAILGRESS_URL', 'SOURCE_ID', 'SECRET', 'VERSION', 'BODY_LIMIT_BYTES'];
  return new Script(`${script}\n({${names.join()}})`).runInContext(createContext({}));
}

test('the configuration arrives as it is', () => {
  assert.deepEqual(
    { ...constantsOf(fillInScript({ ...configuration, bodyLimitBytes: 1000 })) },
    {
      MAILGRESS_URL: 'https://mail.example.com',
      SOURCE_ID: configuration.sourceId,
      SECRET: configuration.secret,
      VERSION: '1.2.3',
      BODY_LIMIT_BYTES: 1000,
    },
  );
});

test('no value breaks out of its string', () => {
  for (const url of [
    `https://a.example/'; evil(); '`,
    'https://a.example/"; evil(); "',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is meant for the script
    'https://a.example/`${evil()}`',
    'https://a.example/\\',
    'https://a.example/\n*/ evil(); /*',
    'https://a.example/\u2028evil()\u2029',
    'https://a.example/\u2028const SECRET = x;',
    'https://a.example/\u2029const SECRET = x;',
    'https://a.example/$& $1 $$ $`',
    '</script><!--',
  ]) {
    const script = fillInScript({ ...configuration, url });
    const { MAILGRESS_URL, SOURCE_ID, SECRET } = constantsOf(script);
    assert.equal(MAILGRESS_URL, url);
    assert.equal(SECRET, configuration.secret);
    assert.doesNotMatch(script, /[\u2028\u2029]/);
    assert.equal(SOURCE_ID, configuration.sourceId);
  }
});

test('a server takes what Apps Script can post at the most, whatever its own limit is', () => {
  const limitOf = (bodyLimitBytes: number) =>
    constantsOf(fillInScript({ ...configuration, bodyLimitBytes })).BODY_LIMIT_BYTES;
  assert.equal(limitOf(1024), 1024);
  assert.equal(limitOf(10 ** 9), 50 * 1024 * 1024);
});

test('is JavaScript without a trace of its types, with its comments, under 30 KB', () => {
  const script = readScript();
  const filledIn = fillInScript({
    ...configuration,
    url: `https://${'mailgress.'.repeat(6)}example.com`,
    address: `${'long'.repeat(10)}@example.com`,
    bodyLimitBytes: 52428800,
  });
  assert.ok(Buffer.byteLength(filledIn) < 30_000, `${Buffer.byteLength(filledIn)} bytes`);
  assert.doesNotMatch(script, /[ \t]$/m);
  assert.doesNotMatch(script, /\n{3}/);
  assert.doesNotMatch(script, /^type |: State\b|: string\b|\bas (string|unknown)\b/m);
  assert.match(script, /^\/\*\*\n \* Mailgress for Gmail\./);
  assert.match(script, /^function listHistory_\(startHistoryId, pageToken\) \{$/m);
});

test('building it leaves standard error alone, and later warnings as they are', () => {
  const path = new URL('../../src/sources/apps-script/script.ts', import.meta.url).href;
  const build = `const { readScript } = await import(${JSON.stringify(path)}); readScript();`;
  const run = (code: string) =>
    spawnSync(process.execPath, ['--input-type=module', '--eval', code], { encoding: 'utf8' });
  assert.deepEqual([run(build).status, run(build).stderr], [0, '']);
  assert.match(run(`${build} process.emitWarning('heard')`).stderr, /heard/);
});
