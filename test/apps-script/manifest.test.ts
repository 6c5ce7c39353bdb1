import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createContext, Script } from 'node:vm';
import { readScript } from '../../src/sources/apps-script/script.ts';

const read = (name: string) => readFileSync(new URL(`../../apps-script/${name}`, import.meta.url), 'utf8');
const script = readScript();
const manifest = JSON.parse(read('appsscript.json'));

/** The script without its comments and the words in its strings; what is inserted into templates stays. */
const code = script
  .replace(/\/\*[\s\S]*?\*\//g, '')
  .replace(/^\s*\/\/.*$/gm, '')
  .replace(/'(?:[^'\\\n]|\\.)*'/g, "''");

/**
 * Google's services, and the scope that each asks for; null for none. Sources: the "Authorization" part of each class
 * at https://developers.google.com/apps-script/reference, and "Authorization Scopes" of each method of the Gmail API.
 */
const SERVICES: Record<string, string | null> = {
  Gmail: 'gmail.readonly',
  GmailApp: 'mail.google.com',
  LockService: null,
  MailApp: 'script.send_mail',
  PropertiesService: null,
  ScriptApp: 'script.scriptapp',
  Session: 'userinfo.email',
  UrlFetchApp: 'script.external_request',
  Utilities: null,
  CacheService: null,
  DriveApp: 'drive',
  SpreadsheetApp: 'spreadsheets',
  ContentService: null,
  HtmlService: null,
  Logger: null,
};

/** What of the Gmail API `gmail.readonly` lets it do. */
const READS = ['getProfile', 'History.list', 'Messages.get', 'Messages.list'];

test('the manifest asks for exactly the scopes that the services in the code need', () => {
  const used = Object.keys(SERVICES).filter((name) => new RegExp(`(?<![.\\w])${name}\\b`).test(code));
  assert.deepEqual(used.sort(), [
    'Gmail',
    'LockService',
    'PropertiesService',
    'ScriptApp',
    'Session',
    'UrlFetchApp',
    'Utilities',
  ]);
  const needed = used.map((name) => SERVICES[name]).filter((scope) => scope !== null);
  assert.deepEqual(
    [...manifest.oauthScopes].sort(),
    needed.map((scope) => `https://www.googleapis.com/auth/${scope}`).sort(),
  );
});

test('of Gmail it calls what reads, and nothing else', () => {
  const called = [...code.matchAll(/gmail_\(\)\.([\w.]+)\(/g)].map((match) => match[1] ?? '');
  assert.deepEqual([...new Set(called)].sort(), [...READS].sort());
  assert.equal(code.match(/(?<![.\w])Gmail\b/g)?.length, 2, 'in gmail_ alone');
});

test('the runtime is V8, and the Gmail service the only one that is added', () => {
  assert.equal(manifest.runtimeVersion, 'V8');
  assert.deepEqual(manifest.dependencies, {
    enabledAdvancedServices: [{ userSymbol: 'Gmail', serviceId: 'gmail', version: 'v1' }],
  });
});

test('lints as Apps Script: a script, in what its V8 knows, with no name that it has not', () => {
  new Script(script, { filename: 'Code.js' });
  // No modules, no event loop, no web platform: https://developers.google.com/apps-script/guides/v8-runtime
  const missing =
    /(?<![.\w])(import|export|require|module|process|Buffer|window|document|fetch|XMLHttpRequest|URL|URLSearchParams|TextEncoder|TextDecoder|atob|btoa|crypto|setTimeout|setInterval|queueMicrotask|structuredClone|await|async|Promise)\b/g;
  assert.deepEqual(code.match(missing), null);
  // Newer than what is documented to work there.
  const newer =
    /\bclass\b|#\w|\?\?=|\|\|=|&&=|\.at\(|\.replaceAll\(|Object\.hasOwn|\.findLast|\.toSorted|\d_\d|\bstatic\b/;
  assert.doesNotMatch(code, newer);
  // Nothing is done, and nobody called, before a function is run.
  const context = createContext(Object.create(null));
  new Script(script).runInContext(context);
  assert.doesNotMatch(script, /^(let|var) /m, 'no state that one run would leave to the next');
});

test('every name and every method in what is pasted is known, to Apps Script and its V8', () => {
  assert.deepEqual(unknownNamesOf(script), []);
  const wrong = 'function wrong() { new URL(""); Utilities.wait(1); return structuredClone(propertis_()); }';
  assert.deepEqual(unknownNamesOf(`${script}\n${wrong}`), [
    "Cannot find name 'URL'.",
    "Property 'wait' does not exist on type 'Utilities'.",
    "Cannot find name 'structuredClone'.",
    "Cannot find name 'propertis_'. Did you mean 'properties_'?",
  ]);
});

/** What TypeScript cannot find among Google's services and JavaScript of 2020, which are all the types there are. */
function unknownNamesOf(code: string): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'mailgress-lint-'));
  try {
    const file = join(folder, 'Code.js');
    writeFileSync(file, code);
    const modules = fileURLToPath(new URL('../../node_modules/', import.meta.url));
    const options =
      '--noEmit --ignoreConfig --allowJs --checkJs --strict false --lib es2020 --target es2020 --types google-apps-script';
    const { stdout } = spawnSync(
      join(modules, '.bin/tsc'),
      [...options.split(' '), '--typeRoots', join(modules, '@types'), file],
      { encoding: 'utf8' },
    );
    // Its other findings are about types, which the source has and this has not.
    const findings = [...stdout.matchAll(/error TS(\d+): (.*)/g)];
    assert.ok(findings.length > 0, `TypeScript has looked at it: ${stdout}`);
    const isUnknown = /^(1\d{3}|2304|2339|2503|2551|2552|2580|2581|2584|2593)$/;
    return (
      findings
        .filter(([, code]) => isUnknown.test(code ?? ''))
        .map(([, , text]) => text ?? '')
        // A constant that is to be filled in is an empty text, of which nothing is left where it is not empty.
        .filter((text) => !text.endsWith("on type 'never'."))
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('what a trigger names is a function of the script, and what a person runs is all that the list shows', () => {
  const functions = [...script.matchAll(/^function (\w+)\(/gm)].map((match) => match[1] ?? '');
  const handlers = [...script.matchAll(/newTrigger\('(\w+)'\)/g)].map((match) => match[1] ?? '');
  assert.deepEqual(handlers, ['poll']);
  const context: Record<string, unknown> = createContext({});
  new Script(script).runInContext(context);
  for (const handler of handlers) assert.equal(typeof context[handler], 'function');
  // Google hides a function whose name ends with an underscore from the list and from triggers.
  assert.deepEqual(functions.filter((name) => !name.endsWith('_')).sort(), [
    'install',
    'pause',
    'poll',
    'resume',
    'resync',
    'rotateSecret',
    'selfTest',
    'status',
    'uninstall',
  ]);
});

test('the README installs in at most six steps, each with what one should see', () => {
  const [, install] = /## Install\n([\s\S]*?)\n###? /.exec(read('README.md')) ?? [];
  const steps = (install ?? '').split(/^\d\. /m).slice(1);
  assert.ok(steps.length > 0 && steps.length <= 6, `${steps.length} steps`);
  for (const step of steps) assert.match(step, /_You see_/);
});
