import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { messageSchema, messageSummarySchema } from '../../src/core/message.ts';
import { startConsumer } from '../support/consumer.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  mailOf,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let service: TestService;
let source: PushSource & { mailboxId: string };
let rawSource: PushSource & { mailboxId: string };
before(async () => {
  service = await startTestService({ bodyLimitBytes: 16 * 1024 * 1024 });
  source = await addSource(service);
  rawSource = await addSource(service, 'raw');
});
after(() => service.dispose());

const get = (path: string) =>
  fetch(`${service.address}${path}`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });

async function store(mail: string | Uint8Array): Promise<string> {
  const response = await service.push(rawSource, mail);
  return ((await response.json()) as { results: [{ messageId: string }] }).results[0].messageId;
}

let ids = 0;
async function storeGmail(extra: Record<string, unknown>, mail = mailOf(`Mail ${ids}`)): Promise<string> {
  const response = await service.push(source, batch([gmailItem(`e${(++ids).toString(16)}`, mail, extra)]));
  return ((await response.json()) as { results: [{ messageId: string }] }).results[0].messageId;
}

const listed = async (query: string): Promise<string[]> =>
  (await service.api('GET', `/v1/messages?${query}`)).body.data.map(({ id }: { id: string }) => id);

test('is got as published, and listed without what makes it long', async () => {
  const id = await storeGmail({ labelIds: ['INBOX', 'CATEGORY_UPDATES'] }, mailOf('Published', 'Hello'));
  const { status, body: message } = await service.api('GET', `/v1/messages/${id}`);
  assert.equal(status, 200);
  assert.deepEqual(messageSchema.strict().parse(message), message);
  assert.deepEqual(
    [message.placement, message.address.startsWith('me-'), message.source],
    ['updates', true, { id: source.id, kind: 'apps-script' }],
  );
  const { body } = await service.api('GET', '/v1/messages?limit=1');
  const { text: _, html: __, headers: ___, ...summary } = message;
  assert.deepEqual(body.data, [summary]);
  assert.deepEqual(Object.keys(body.data[0]), Object.keys(messageSummarySchema.shape));
});

test('is listed by mailbox, placement and sender', async () => {
  const spam = await storeGmail(
    { labelIds: ['SPAM'] },
    'From: Eve <Eve@Example.COM>\r\nSubject: a\r\n\r\na\r\n',
  );
  const raw = await store('From: eve@example.com\r\nSubject: b\r\n\r\nb\r\n');
  assert.deepEqual(await listed('placement=spam'), [spam]);
  assert.deepEqual((await listed('from=EVE@example.com')).sort(), [spam, raw].sort());
  assert.deepEqual(await listed(`from=eve@example.com&mailbox=${rawSource.mailboxId}`), [raw]);
  assert.deepEqual(await listed(`mailbox=mbx_${'0'.repeat(32)}`), []);
  assert.deepEqual(await listed('from=eve'), []);
});

test('refuses a filter that can be none', async () => {
  for (const [query, path] of [
    ['placement=nowhere', 'placement'],
    ['mailbox=nobody', 'mailbox'],
    ['from=%00', 'from'],
    [`from=${'a'.repeat(321)}`, 'from'],
  ]) {
    const problem = await expectProblem(await get(`/v1/messages?${query}`), 400, 'bad_request');
    assert.deepEqual(faultPaths(problem), [path]);
  }
});

test('has its text and html whole where the event has them cut', async () => {
  const consumer = await startConsumer();
  const { body: endpoint } = await service.api('POST', '/v1/endpoints', { url: consumer.url });
  // Of two bytes a letter, so that a cut by letters or within one would show.
  const text = 'é'.repeat(200_000);
  const html = `<p>${'ü'.repeat(150_000)}</p>`;
  const id = await store(
    `Subject: Long\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n` +
      `--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n${text}\r\n` +
      `--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n${html}\r\n--x--\r\n`,
  );
  const [webhook] = await consumer.waitFor(1);
  const event = JSON.parse(webhook?.body ?? '').data;
  assert.equal(event.textTruncated, true);
  for (const [cut, whole] of [
    [event.text, text],
    [event.html, html],
  ]) {
    assert.ok(Buffer.byteLength(cut) <= 256 * 1024 && Buffer.byteLength(cut) > 256 * 1024 - 4);
    assert.ok(whole.startsWith(cut));
  }
  const { body: message } = await service.api('GET', `/v1/messages/${id}`);
  assert.deepEqual([message.text.trim(), message.html.trim(), message.textTruncated], [text, html, false]);
  await service.api('DELETE', `/v1/endpoints/${endpoint.id}`);
  await consumer.close();
});

describe('its raw mail', () => {
  const mails: Record<string, Buffer> = {
    'of every byte': Buffer.concat([
      Buffer.from('Subject: Bytes\r\n\r\n'),
      Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 256)),
    ]),
    'with line ends of every kind': Buffer.from('Subject: Ends\nTo: a\r\n\rX\n\n\r\nbody\r'),
    'of one byte': Buffer.from('x'),
    'of 5 MB': Buffer.alloc(5_000_000, 'Subject: Large\r\n\r\n0123456789\r\n'),
  };
  for (const [name, mail] of Object.entries(mails)) {
    test(`${name} comes back byte for byte`, async () => {
      const id = await store(mail);
      const response = await get(`/v1/messages/${id}/raw`);
      assert.ok(Buffer.from(await response.arrayBuffer()).equals(mail));
      const { headers } = response;
      assert.equal(headers.get('content-type'), 'message/rfc822');
      assert.equal(headers.get('content-disposition'), `attachment; filename="${id}.eml"`);
      assert.equal(headers.get('content-length'), String(mail.length));
      assertSafe(headers);
      const { body: message } = await service.api('GET', `/v1/messages/${id}`);
      assert.equal(message.sha256, createHash('sha256').update(mail).digest('hex'));
      assert.equal(message.sizeBytes, mail.length);
    });
  }
});

/** A stranger wrote it: a browser may neither guess a type nor run anything in it. */
function assertSafe(headers: Headers): void {
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  assert.equal(headers.get('content-security-policy'), 'sandbox');
  assert.match(headers.get('content-disposition') ?? '', /^attachment;/);
}

function withAttachments(...parts: { headers: string; content: Buffer }[]): string {
  const bodies = parts.map(
    ({ headers, content }) =>
      `--x\r\n${headers}\r\nContent-Transfer-Encoding: base64\r\n\r\n${content.toString('base64')}\r\n`,
  );
  return `Subject: Attached ${++ids}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nText\r\n${bodies.join('')}--x--\r\n`;
}

const named = (parameter: string) => ({
  headers: `Content-Type: text/html\r\nContent-Disposition: attachment; ${parameter}`,
  content: Buffer.from('<script>alert(1)</script>'),
});

describe('its attachments', () => {
  test('come back byte for byte, by their index', async () => {
    const contents = [Buffer.from([0, 1, 255, 13, 10]), Buffer.alloc(0), Buffer.alloc(300_000, 'ab\n')];
    const id = await store(
      withAttachments(
        ...contents.map((content) => ({ headers: 'Content-Type: image/png; name=a.png', content })),
      ),
    );
    const { body: message } = await service.api('GET', `/v1/messages/${id}`);
    assert.equal(message.attachments.length, 3);
    for (const [index, content] of contents.entries()) {
      const response = await get(`/v1/messages/${id}/attachments/${index}`);
      assert.equal(response.status, 200);
      assert.ok(Buffer.from(await response.arrayBuffer()).equals(content));
      assert.equal(message.attachments[index].sha256, createHash('sha256').update(content).digest('hex'));
      assert.equal(message.attachments[index].sizeBytes, content.length);
    }
  });

  /** The parameter of the mail, and what the answer makes of it (RFC 6266, RFC 8187). */
  const names: [parameter: string, disposition: string][] = [
    ['filename="plain.html"', "filename*=UTF-8''plain.html"],
    ['filename="a \\"b\\";c.html"', "filename*=UTF-8''a%20%22b%22%3Bc.html"],
    ['filename="../../etc/passwd"', "filename*=UTF-8''..%2F..%2Fetc%2Fpasswd"],
    ["filename*=UTF-8''%E2%82%AC%20rates.html", "filename*=UTF-8''%E2%82%AC%20rates.html"],
    ["filename*=UTF-8''a%0D%0ASet-Cookie%3A%20b", "filename*=UTF-8''a%20Set-Cookie%3A%20b"],
    ['filename="it\'s (1)*.html"', "filename*=UTF-8''it%27s%20%281%29%2A.html"],
    ['x=y', "filename*=UTF-8''attachment-0"],
    ['filename=""', "filename*=UTF-8''attachment-0"],
  ];
  for (const [parameter, disposition] of names) {
    test(`named by ${parameter} are handed out as a file, whatever they are`, async () => {
      const id = await store(withAttachments(named(parameter)));
      const response = await get(`/v1/messages/${id}/attachments/0`);
      assert.equal(response.status, 200, await response.text());
      assert.equal(response.headers.get('content-disposition'), `attachment; ${disposition}`);
      assert.equal(response.headers.get('content-type'), 'application/octet-stream');
      assert.equal(response.headers.get('set-cookie'), null);
      assertSafe(response.headers);
    });
  }

  test('with a name too long for a header are handed out under its beginning', async () => {
    const id = await store(withAttachments(named(`filename*=UTF-8''${'%F0%9F%8E%89'.repeat(5000)}`)));
    const response = await get(`/v1/messages/${id}/attachments/0`);
    assert.equal(response.status, 200);
    assert.match(
      response.headers.get('content-disposition') ?? '',
      /^attachment; filename\*=UTF-8''(%F0%9F%8E%89)+$/,
    );
  });

  test('that are not there are 404', async () => {
    const id = await store(withAttachments(named('filename=a')));
    for (const n of ['1', '-1', '0.0', 'a', '%00', '99999999999999999999', '0x0', '1e0']) {
      await expectProblem(await get(`/v1/messages/${id}/attachments/${n}`), 404, 'not_found');
    }
  });

  test('of a truncated mail are 404: they have not come', async () => {
    const headers = 'Subject: Cut\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment\r\n';
    const response = await service.push(source, batch([{ id: 'c0c0', truncated: true, headers }]));
    const { results } = (await response.json()) as { results: [{ messageId: string }] };
    const { body: message } = await service.api('GET', `/v1/messages/${results[0].messageId}`);
    assert.deepEqual([message.truncated, message.attachments], [true, []]);
    await expectProblem(await get(`/v1/messages/${message.id}/attachments/0`), 404, 'not_found');
  });
});
