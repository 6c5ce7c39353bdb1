import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startConsumer } from '../support/consumer.ts';
import { createDataDirectory, startMailgress } from '../support/process.ts';
import { batch, gmailItem, push } from '../support/service.ts';

const KEY = `admin-key-${randomBytes(16).toString('hex')}`;

/** Words that are in no log by chance. */
const word = (name: string) => `${name}${randomBytes(6).toString('hex')}`;

test('a whole run at level trace logs each request with its id, and no secret and nothing of a mail', async () => {
  await using directory = await createDataDirectory();
  await using mailgress = startMailgress(['all'], {
    MAILGRESS_DATA_DIR: directory.path,
    MAILGRESS_ADMIN_TOKEN: KEY,
    LOG_LEVEL: 'trace',
  });
  const address = await mailgress.ready();
  const secretKey = (await readFile(join(directory.path, 'secret-key'), 'utf8')).trim();
  const words = {
    subject: word('subject'),
    body: word('body'),
    sender: word('sender'),
    file: word('file'),
    answer: word('answer'),
    broken: word('broken'),
    wrongKey: word('wrongkey'),
    path: word('path'),
    header: word('header'),
  };
  await using consumer = await startConsumer((response, { path }) =>
    path.endsWith('refusing') ? response.writeHead(500).end(words.answer) : response.writeHead(204).end(),
  );
  const ids: string[] = [];
  async function call(method: string, path: string, body?: unknown, key = KEY) {
    const answer = await fetch(`${address}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    ids.push(answer.headers.get('x-request-id') ?? 'none');
    return answer;
  }
  const made = async (path: string, body: unknown) =>
    (await (await call('POST', path, body)).json()) as { id: string; secret: string; ingestUrl: string };

  const mailbox = await made('/v1/mailboxes', { address: 'grace@example.org' });
  const script = await made(`/v1/mailboxes/${mailbox.id}/sources`, { kind: 'apps-script' });
  const raw = await made(`/v1/mailboxes/${mailbox.id}/sources`, { kind: 'raw' });
  const taking = await made('/v1/endpoints', { url: `${consumer.url}/taking` });
  const refusing = await made('/v1/endpoints', { url: `${consumer.url}/refusing` });

  // Mail that is stored, mail that is refused, bodies that are none, webhooks that fail, requests that are refused.
  const mail = [
    `From: ${words.sender}@example.com`,
    `Subject: ${words.subject}`,
    `X-Note: ${words.header}`,
    `Content-Type: text/plain; name="${words.file}"`,
    '',
    words.body,
    '',
  ].join('\r\n');
  await push(script, batch([gmailItem('abc1', mail), { id: 'abc2', raw: `*${words.broken}*` }, null]));
  await push(script, `{"kind":"messages","${words.broken}`);
  await push(script, JSON.stringify({ kind: words.broken }));
  await push(script, JSON.stringify({ subject: words.subject, sender: words.sender, body: words.body }));
  await push({ ...script, secret: refusing.secret }, batch([gmailItem('abc3', mail)]));
  await push(raw, Buffer.from(mail));
  await push(raw, Buffer.alloc(0));
  await consumer.waitFor(4);
  await call('POST', '/v1/endpoints', { url: `http://user:${words.wrongKey}@example.com/` });
  await call('POST', '/v1/mailboxes', `{"address": "${words.sender}`);
  await call('GET', '/v1/messages', undefined, words.wrongKey);
  await call('GET', `/v1/messages?from=${words.sender}`);
  await call('GET', '/readyz');
  mailgress.kill('SIGTERM');
  const { stdout, stderr } = await mailgress.ended;

  const secrets = [taking, refusing, script, raw].map(({ secret }) => secret.slice('whsec_'.length));
  const sought = { ...words, KEY, secretKey, mail: Buffer.from(mail).toString('base64url').slice(0, 60) };
  for (const [name, text] of [
    ...Object.entries(sought),
    ...secrets.map((one) => ['a secret', one] as const),
  ]) {
    assert.ok(text.length > 8, name);
    const line = `${stdout}\n${stderr}`.split('\n').find((one) => one.includes(text));
    assert.equal(line, undefined, name);
  }
  const requests = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter(({ msg }) => msg === 'request');
  assert.ok(ids.length >= 9);
  for (const id of ids) assert.equal(requests.filter(({ requestId }) => requestId === id).length, 1, id);
});
