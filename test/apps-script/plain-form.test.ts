import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createRuntime } from './runtime.ts';
import { startWorld } from './world.ts';

const readme = readFileSync(new URL('../../apps-script/README.md', import.meta.url), 'utf8');
const [, snippet = ''] = /## A script of your own[\s\S]*?```js\n([\s\S]*?)```/.exec(readme) ?? [];

test('the README has ten lines that post a mail of four strings, in any language', async () => {
  assert.ok(snippet.trim().split('\n').length <= 12, snippet);
  await using world = await startWorld(['plain@example.com']);
  const source = world.addSource('plain@example.com');
  const script = `const SECRET = '${source.secret}';\nconst INGEST_URL = '${source.ingestUrl}';\n${snippet}`;
  const runtime = createRuntime(world, 'plain@example.com', { script });
  const date = new Date(world.clock.now).toISOString();
  runtime.run('send', { subject: 'Grüße \u{1F600}', sender: 'Ada <ada@example.com>', body: '日本', date });
  const [row, ...others] = world.sql(`SELECT document ->> 'subject' AS subject, document ->> 'text' AS text
    FROM messages WHERE mailbox_id = '${source.mailboxId.slice(4)}'`);
  assert.deepEqual([row.subject, row.text.trim(), others], ['Grüße \u{1F600}', '日本', []]);
});
