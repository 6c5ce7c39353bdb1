import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import postgres from 'postgres';
import { createId, uuidOf } from '../../src/core/ids.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { startMailgress } from '../support/process.ts';
import { ADMIN_TOKEN, SECRET_KEY, startTestService, type TestService } from '../support/service.ts';
import { startStatementRecorder } from '../support/statement-recorder.ts';

/*
 * Large mails, whose bytes are read by many, slowly, or not to their end.
 */

type Mail = { bytes: Buffer; content: Buffer };
/** With an attachment that fills most of it, and that no compression makes smaller. */
function makeMail(contentBytes: number): Mail {
  const content = randomBytes(contentBytes);
  const bytes = Buffer.from(
    `Subject: Large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nText\r\n--x\r\n` +
      `Content-Type: application/zip\r\nContent-Disposition: attachment; filename=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n` +
      `${content.toString('base64').replace(/.{76}/g, '$&\r\n')}\r\n--x--\r\n`,
  );
  return { bytes, content };
}
const OF_40_MB = makeMail(29_000_000);
/** More than a connection holds on its way. */
const OF_12_MB = makeMail(9_000_000);
const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
const LEVEL_1 = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let service: TestService;
const ids = new Map<Mail, string>();
const raw = (mail: Mail) => `/v1/messages/${ids.get(mail)}/raw`;
const attachment = (mail: Mail) => `/v1/messages/${ids.get(mail)}/attachments/0`;
before(async () => {
  service = await startTestService({ dispatch: false, bodyPatienceMs: 1500 });
  for (const mail of [OF_40_MB, OF_12_MB]) ids.set(mail, await store(mail.bytes));
});
after(() => service.dispose());

/** Straight into the tables: to take such a mail in is another test's. */
async function store(mail: Uint8Array, tenant = 'default'): Promise<string> {
  const sql = postgres(service.databaseUrl, { max: 1 });
  const messageId = createId('msg');
  const attachments = [{ index: 0, filename: 'a.zip' }];
  const document = JSON.stringify({ id: messageId, sizeBytes: mail.length, attachments });
  await sql`
    WITH stored AS (
      INSERT INTO messages (id, mailbox_id, tenant, placement, received_at, is_truncated, document)
      VALUES (${uuidOf(messageId)}, ${uuidOf(createId('mbx'))}, ${tenant}, 'inbox', now(), false, ${document}::text::json)
    )
    INSERT INTO raw_mails (message_id, bytes, is_compressed)
    VALUES (${uuidOf(messageId)}, ${zstdCompressSync(mail, LEVEL_1)}, true)`;
  await sql.end();
  return messageId;
}

/** An answer of which nothing is read until it is asked for. */
async function open(path: string, address = service.address, sent = headers): Promise<IncomingMessage> {
  const request = get(`${address}${path}`, { headers: sent, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  return response;
}

async function readAll(response: IncomingMessage): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of response) hash.update(bytes);
  return hash.digest('hex');
}

describe('to 20 clients at once', () => {
  const peakOf = async (pid: number, field: 'VmRSS' | 'VmHWM') => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
  };
  const options = { skip: process.platform !== 'linux' && 'it reads /proc' };

  for (const [name, path, sum, mostMb] of [
    ['a raw mail', raw, sha256(OF_40_MB.bytes), 200],
    ['an attachment', attachment, sha256(OF_40_MB.content), 400],
  ] as const) {
    test(`${name} goes in bounded memory`, options, async () => {
      await using serve = startMailgress(['serve', '--no-dispatch'], {
        DATABASE_URL: service.databaseUrl,
        MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
        MAILGRESS_SECRET_KEY: SECRET_KEY,
        LOG_LEVEL: 'silent',
      });
      const address = await serve.ready();
      (await open('/v1/messages', address)).resume();
      const idleMb = await peakOf(serve.pid, 'VmRSS');
      let responses: IncomingMessage[] = [];
      let served: IncomingMessage[] = [];
      // On a machine that is busy with other things the first may take longer than it may.
      await waitUntil('one is served', async () => {
        responses = await Promise.all(Array.from({ length: 20 }, () => open(path(OF_40_MB), address)));
        served = responses.filter(({ statusCode }) => statusCode === 200);
        return served.length > 0;
      });
      for (const response of responses) {
        // Whom there is no room for is told to come again.
        if (!served.includes(response)) assert.equal(response.statusCode, 503);
        else if (response !== served[0]) readBytes(response, 4_000_000).catch(() => {});
      }
      assert.ok(served.length === 20 || name === 'an attachment');
      assert.equal(served[0] && (await readAll(served[0])), sum);
      const peakMb = await peakOf(serve.pid, 'VmHWM');
      assert.ok(peakMb - idleMb < mostMb, `${served.length}: ${idleMb} -> ${peakMb} MB`);
    });
  }
});

/** Reads so much, and leaves. */
async function readBytes(response: IncomingMessage, count: number): Promise<void> {
  let bytes = 0;
  for await (const part of response) {
    bytes += part.length;
    if (bytes >= count) return;
  }
}

test('says how long it is, and nothing of it is held for who asks for that alone', async () => {
  for (const [path, { length }] of [
    [raw(OF_12_MB), OF_12_MB.bytes],
    [attachment(OF_12_MB), OF_12_MB.content],
  ] as const) {
    const response = await fetch(service.address + path, { method: 'HEAD', headers });
    assert.equal(response.headers.get('content-length'), String(length));
  }
});

test('who asks for its length alone has nothing read of a raw mail but its beginning', async () => {
  await using recorder = await startStatementRecorder(service.databaseUrl, 'mailgress');
  const asked = await startTestService({ databaseUrl: recorder.url, dispatch: false });
  const readsOfParts = () =>
    [...recorder.statements.keys()].filter((text) => /FROM raw_mails WHERE message_id/.test(text));
  const response = await fetch(asked.address + raw(OF_12_MB), { method: 'HEAD', headers });
  assert.equal(response.headers.get('content-length'), String(OF_12_MB.bytes.length));
  // The statement that would bring the next part is on its way by the time that this one is answered.
  await fetch(`${asked.address}/v1/messages`, { headers });
  assert.deepEqual(readsOfParts(), []);
  await readAll(await open(raw(OF_12_MB), asked.address));
  assert.equal(readsOfParts().length, 1);
  await asked.stop();
});

/** There is room for another one again. */
async function assertFree(path: string, sum: string): Promise<void> {
  let sums: string[] = [];
  await waitUntil('there is room again', async () => {
    const response = await open(path);
    if (response.statusCode === 200) sums = [await readAll(response)];
    else response.resume();
    return sums.length > 0;
  });
  assert.deepEqual(sums, [sum]);
}

async function openServed(path: string): Promise<IncomingMessage> {
  let served: IncomingMessage | undefined;
  await waitUntil('it is served', async () => {
    const response = await open(path);
    if (response.statusCode === 200) served = response;
    else response.resume();
    return served !== undefined;
  });
  assert.ok(served);
  return served;
}

/** As many as there is room for. */
const fill = (path: string, count: number) => Promise.all(Array.from({ length: count }, () => open(path)));

test('readers of raw mails that leave give back all that they held', async () => {
  for (const response of await fill(raw(OF_12_MB), 32)) response.destroy();
  await assertFree(raw(OF_12_MB), sha256(OF_12_MB.bytes));
});

test('readers of raw mails that take nothing are cut off', async () => {
  const held = await fill(raw(OF_12_MB), 32);
  await assertFree(raw(OF_12_MB), sha256(OF_12_MB.bytes));
  for (const response of held) await assert.rejects(readAll(response));
});

test('readers of attachments that leave, and that take nothing, give back all that they held', async () => {
  // One after the other: at once, on a busy machine, the second may be told to come again.
  const idle = await openServed(attachment(OF_40_MB));
  const leaving = await openServed(attachment(OF_40_MB));
  leaving.destroy();
  await assertFree(attachment(OF_40_MB), sha256(OF_40_MB.content));
  await assert.rejects(readAll(idle));
});

test('one that is slow, but takes something, gets all', async () => {
  const response = await open(raw(OF_12_MB));
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const part of response) {
    hash.update(part);
    // For longer than it might take nothing: a little at a time, then the rest.
    if (bytes < 6_000_000) await new Promise((resolve) => setTimeout(resolve, 20));
    bytes += part.length;
  }
  assert.equal(hash.digest('hex'), sha256(OF_12_MB.bytes));
});

test('one that takes a little for ever is cut off', async () => {
  const brief = await startTestService({
    databaseUrl: service.databaseUrl,
    dispatch: false,
    bodyLongestMs: 1500,
  });
  const response = await open(attachment(OF_40_MB), brief.address);
  assert.equal(response.statusCode, 200);
  await assert.rejects(async () => {
    for await (const _ of response) await new Promise((resolve) => setTimeout(resolve, 20));
  });
  await brief.stop();
});

test('the readers of one tenant leave room for others', async () => {
  const calm = await startTestService({ databaseUrl: service.databaseUrl, dispatch: false });
  const { body: key } = await service.api('POST', '/v1/keys', { role: 'reader', tenant: 'noisy' });
  const noisy = `/v1/messages/${await store(OF_12_MB.bytes, 'noisy')}/raw`;
  const asNoisy = () => open(noisy, calm.address, { authorization: `Bearer ${key.key}` });
  const held = await Promise.all(Array.from({ length: 16 }, asNoisy));
  let isServed = false;
  const more = asNoisy().then((response) => {
    isServed = true;
    return response;
  });
  const others = await Promise.all(Array.from({ length: 4 }, () => open(raw(OF_12_MB), calm.address)));
  assert.deepEqual([...new Set(others.map(({ statusCode }) => statusCode))], [200]);
  assert.equal(isServed, false);
  held[0]?.destroy();
  assert.equal((await more).statusCode, 200);
  for (const response of [...held, ...others, await more]) response.destroy();
  await calm.stop();
});

test('a mail that is deleted while it is read is cut off, and no connection to the database is lost', async () => {
  const doomed = await store(randomBytes(12_000_000));
  const response = await open(`/v1/messages/${doomed}/raw`);
  assert.equal((await service.api('DELETE', `/v1/messages/${doomed}`)).status, 204);
  await assert.rejects(readAll(response));
  assert.equal((await service.api('GET', `/v1/messages/${doomed}/raw`)).status, 404);
  await waitUntil('its connections are free', async () => {
    const metrics = await fetch(`${service.address}/metrics`, { headers });
    return /mailgress_database_statements\{pool="api"\} [01]\n/.test(await metrics.text());
  });
});
