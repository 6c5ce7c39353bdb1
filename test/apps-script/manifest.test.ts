import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
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
