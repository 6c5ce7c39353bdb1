import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
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

/*
 * PostgreSQL's text refuses U+0000, and a lone surrogate has no UTF-8 form. A mail that holds them is kept: U+FFFD
 * stands for them in what is published, and the raw bytes are as they came.
 */

let service: TestService;
let source: PushSource;
let rawSource: PushSource;
before(async () => {
  service = await startTestService();
  source = await addSource(service);
  rawSource = await addSource(service, 'raw');
});
after(() => service.dispose());

const get = (path: string) =>
  fetch(`${service.address}${path}`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });

// biome-ignore lint/suspicious/noExplicitAny: a message, looked into
async function store(at: PushSource, body: string | Uint8Array): Promise<any> {
  const response = await service.push(at, body);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const [result] = JSON.parse(text).results;
  assert.equal(result.status, 'accepted', text);
  return (await service.api('GET', `/v1/messages/${result.messageId}`)).body;
}

let ids = 0;
function pushItem(item: Record<string, unknown>) {
  const id = `${++ids}e`;
  return store(source, batch([{ ...item, id, threadId: id }]));
}

const ATTACHED =
  'Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nSee there\r\n' +
  "--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=UTF-8''a%00b.pdf\r\n\r\nPDF\r\n--x--\r\n";

describe('U+0000 becomes U+FFFD and the mail is partial', () => {
  test('in the body, and the raw bytes keep it', async () => {
    const mail = mailOf('NUL in the body', 'Before\0behind');
    const message = await pushItem(gmailItem('', mail));
    assert.match(message.text, /^Before\ufffdbehind/);
    assert.equal(message.parse, 'partial');
    const raw = await get(`/v1/messages/${message.id}/raw`);
    assert.deepEqual(Buffer.from(await raw.arrayBuffer()), Buffer.from(mail));
  });

  test('in the subject, as it is and encoded', async () => {
    for (const subject of ['Before\0behind', '=?UTF-8?Q?Before=00behind?=']) {
      const message = await store(
        rawSource,
        `From: a@example.com\r\nSubject: ${subject}\r\n\r\n${subject}\r\n`,
      );
      assert.deepEqual([message.subject, message.parse], ['Before\ufffdbehind', 'partial']);
    }
  });

  test('in the name of an attachment, which can be downloaded', async () => {
    const message = await pushItem(gmailItem('', `Subject: Attached\r\nMIME-Version: 1.0\r\n${ATTACHED}`));
    assert.deepEqual([message.attachments[0]?.filename, message.parse], ['a\ufffdb.pdf', 'partial']);
    const file = await get(`/v1/messages/${message.id}/attachments/0`);
    assert.equal(file.status, 200);
    assert.equal(file.headers.get('content-disposition'), "attachment; filename*=UTF-8''a%EF%BF%BDb.pdf");
  });

  test('in what the source tells: labels, snippet and headers', async () => {
    const item = {
      truncated: true,
      headers: 'Subject: Before\0behind\r\nX-\0: y\r\n',
      snippet: 'a\0b',
      labelIds: ['INBOX', 'Label\0'],
    };
    const message = await pushItem(item);
    assert.deepEqual(
      [message.subject, message.snippet, message.labels, message.parse],
      ['Before\ufffdbehind', 'a\ufffdb', ['INBOX', 'Label\ufffd'], 'partial'],
    );
  });

  test('in the plain form', async () => {
    const message = await store(
      source,
      JSON.stringify({ subject: 'a\0b', sender: 'A\0 <a@example.com>', body: 'c\0d', date: '2026-11-20' }),
    );
    assert.deepEqual(
      [message.subject, message.text.trim(), message.parse],
      ['a\ufffdb', 'c\ufffdd', 'partial'],
    );
  });

  test('in a mail of nothing but it', async () => {
    const message = await store(rawSource, Buffer.alloc(1000));
    assert.notEqual(message.parse, 'ok');
  });
});

describe('a lone surrogate becomes U+FFFD', () => {
  // In JSON as an escape, which is well-formed UTF-8.
  const lone = '\ud83d';

  test('in what the source tells', async () => {
    const message = await pushItem({
      truncated: true,
      headers: `Subject: a${lone}b\r\n`,
      snippet: `a${lone}`,
      labelIds: [`${lone}b`],
    });
    assert.deepEqual(
      [message.subject, message.snippet, message.labels],
      ['a\ufffdb', 'a\ufffd', ['\ufffdb']],
    );
  });

  test('in the plain form, and a pair stays a pair', async () => {
    const message = await store(
      source,
      JSON.stringify({
        subject: `a${lone}b 🎉`,
        sender: `${lone} <a@example.com>`,
        body: `c${lone}d 🎉`,
        date: '2026-11-20',
      }),
    );
    assert.deepEqual([message.subject, message.text.trim()], ['a\ufffdb 🎉', 'c\ufffdd 🎉']);
    assert.equal(message.from.name, '\ufffd');
  });

  test('in html, written as a reference', async () => {
    const message = await pushItem(
      gmailItem('', 'Subject: x\r\nContent-Type: text/html\r\n\r\n<b>a&#xD83D;b</b>\r\n'),
    );
    assert.ok(message.snippet.isWellFormed());
  });
});

test('bytes that are wrong in their charset are read, and the raw ones stay', async () => {
  // Of a charset that is no guess: what is named UTF-8 and is not is read as something else.
  const head = Buffer.from(
    'Subject: caf\xe9\r\nContent-Type: text/plain; charset=shift_jis\r\n\r\n',
    'latin1',
  );
  const mail = Buffer.concat([head, Buffer.of(0xff, 0xfe, 0xc3, 0x28, 0x0d, 0x0a)]);
  const message = await store(rawSource, mail);
  assert.ok(message.text.includes('\ufffd'));
  const raw = await get(`/v1/messages/${message.id}/raw`);
  assert.deepEqual(Buffer.from(await raw.arrayBuffer()), mail);
});

test('all of it can be listed', async () => {
  const { status, body } = await service.api('GET', '/v1/messages?limit=500');
  assert.equal(status, 200);
  assert.ok(body.data.length >= 9);
  assert.ok(!JSON.stringify(body).includes('\\u0000'));
});
