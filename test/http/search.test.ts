import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { untilSearchable } from '../support/search.ts';
import {
  ADMIN_TOKEN,
  addSource,
  batch,
  gmailItem,
  type PushSource,
  startTestService,
  type TestService,
} from '../support/service.ts';
import { expectProblem, faultPaths } from './problem.ts';

let service: TestService;
let source: PushSource & { mailboxId: string };
let other: PushSource & { mailboxId: string };

/** What is searched, each under the name that the queries below go by. */
const MAILS: Record<string, string> = {
  invoice:
    'From: "Ada Lovelace" <ada.lovelace@engines.example>\r\nTo: me@example.com\r\nCc: Bob <bob+tag@sub.example.net>\r\nSubject: Invoice 2026-117 for the analytical engine\r\n\r\nPlease pay by Friday. See https://pay.example.org/in/4711?x=1 or call.\r\n',
  french:
    'From: accueil@hotel.example\r\nSubject: =?UTF-8?Q?R=C3=A9servation_confirm=C3=A9e?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nÀ bientôt, l’équipe de l’hôtel\r\n',
  russian:
    'From: a@почта.example\r\nSubject: =?UTF-8?Q?=D0=9F=D1=80=D0=B8=D0=B2=D0=B5=D1=82?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nДоговор подписан\r\n',
  html: 'From: news@shop.example\r\nSubject: Spring sale\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<style>.hiddenstyle{}</style><p class="classname">Caf&eacute; <b>mach</b>ine &amp; more</p>\r\n',
  oddities:
    "From: o'neil@example.com\r\nSubject: and/or\r\n\r\n<tagged> 50% off: it's a:b & c|d !e (f) \\g *h\r\nsnake_case report.pdf\r\n",
};
const ids = new Map<string, string>();

before(async () => {
  service = await startTestService();
  source = await addSource(service);
  other = await addSource(service);
  for (const [index, [name, mail]] of Object.entries(MAILS).entries()) {
    ids.set(name, await store(mail, { labelIds: [name === 'html' ? 'SPAM' : 'INBOX'] }, `5ea0${index}`));
  }
  await untilSearchable(service.databaseUrl);
});
after(() => service.dispose());

let stored = 0;
async function store(
  mail: string,
  extra: Record<string, unknown> = {},
  id = `5eb${(++stored).toString(16).padStart(6, '0')}`,
  at = source,
): Promise<string> {
  const response = await service.push(at, batch([gmailItem(id, mail, extra)]));
  return ((await response.json()) as { results: [{ messageId: string }] }).results[0].messageId;
}

type Page = { data: { id: string }[]; next: string | null };
const get = (query: Record<string, string>, key = ADMIN_TOKEN) =>
  fetch(`${service.address}/v1/messages?${new URLSearchParams(query)}`, {
    headers: { authorization: `Bearer ${key}` },
  });
async function find(query: Record<string, string>, key = ADMIN_TOKEN): Promise<string[]> {
  const response = await get(query, key);
  const page = (await response.json()) as Page;
  assert.equal(response.status, 200, JSON.stringify(page));
  return page.data.map(({ id }) => id);
}

describe('finds', () => {
  const queries: [q: string, found: string[]][] = [
    // Subject and text, in any case, in any order.
    ['invoice', ['invoice']],
    ['INVOICE Friday', ['invoice']],
    ['friday invoice', ['invoice']],
    ['invoice monday', []],
    ['2026-117', ['invoice']],
    // The last word may be begun; others not, and short ones not.
    ['analyt', ['invoice']],
    ['analyt engine', []],
    ['an', []],
    ['"analyt"', []],
    // Phrases, exclusions, alternatives.
    ['"analytical engine"', ['invoice']],
    ['"engine analytical"', []],
    ['engine -friday', []],
    ['engine -monday', ['invoice']],
    ['engine or réservation', ['invoice', 'french']],
    // Addresses: whole, domain, local part, name; of every header.
    ['ada.lovelace@engines.example', ['invoice']],
    ['Ada.Lovelace@ENGINES.example', ['invoice']],
    ['engines.example', ['invoice']],
    ['@engines.example', ['invoice']],
    ['ada.lovelace', ['invoice']],
    ['lovelace', ['invoice']],
    ['bob+tag@sub.example.net', ['invoice']],
    ['sub.example.net', ['invoice']],
    ["o'neil@example.com", ['oddities']],
    // What the parser of PostgreSQL would make one word of, or none.
    ['pay.example.org', ['invoice']],
    ['4711', ['invoice']],
    ['https://pay.example.org/in/4711', ['invoice']],
    ['tagged', ['oddities']],
    ['or', ['invoice', 'oddities']],
    ['snake', ['oddities']],
    ['report', ['oddities']],
    ['report.pdf', ['oddities']],
    // Any language, as it is written.
    ['réservation', ['french']],
    ['RÉSERVATION CONFIRMÉE', ['french']],
    ['reservation', []],
    ['equipe', []],
    ['équipe', ['french']],
    ['E\u0301QUI\u00adPE', ['french']],
    ['ｅｎｇｉｎｅ', ['invoice']],
    ['договор', ['russian']],
    ['почта', ['russian']],
    ['привет', ['russian']],
    // Of html what is read of it.
    ['café machine', ['html']],
    ['hiddenstyle', []],
    ['classname', []],
    ['eacute', []],
  ];
  for (const [q, found] of queries) {
    test(`${found.join(' and ') || 'nothing'} by ${q}`, async () => {
      const expected = found.map((name) => ids.get(name)).reverse();
      assert.deepEqual(await find({ q }), expected);
    });
  }
});

test('says what is wrong with a search that names no word', async () => {
  const faulty = ['', ' ', '!!!', '-', '""', '-invoice', 'invoice or -friday', "'", '\\', '&|!', '<->', ':*'];
  for (const q of [...faulty, '\0', 'a'.repeat(501)]) {
    const problem = await expectProblem(await get({ q }), 400, 'bad_request');
    assert.deepEqual(faultPaths(problem), ['q'], q);
  }
});

test('takes whatever else it is given for words', async () => {
  const odd = [
    "'; DROP TABLE messages; --",
    "invoice' & 'x':*",
    'a & b | !c',
    '(((((invoice',
    'invoice)))))',
    '"invoice',
    'invoice:*',
    'invoice <-> x',
    '=t default',
    "'=t default'",
    'или'.repeat(100),
    'a '.repeat(250),
    `${'-a '.repeat(160)}invoice`,
    '\ud800 invoice',
    '🎉 invoice 🎉',
    'a-'.repeat(250),
  ];
  for (const q of odd) assert.equal((await get({ q })).status, 200, q);
});

test('finds a truncated mail by its headers, by its text once that has come, and nothing once it is deleted', async () => {
  const headers = 'From: cut@example.com\r\nSubject: cut short\r\n';
  const item = { id: 'c0de', threadId: 'c0de', labelIds: ['INBOX'], internalDate: '1760000000000' };
  await service.push(source, batch([{ ...item, truncated: true, headers, snippet: 'previewed' }]));
  await untilSearchable(service.databaseUrl);
  const [id] = await find({ q: 'cut previewed' });
  await store(`${headers}\r\ncompletely here\r\n`, {}, 'c0de');
  await untilSearchable(service.databaseUrl);
  assert.deepEqual([await find({ q: 'cut completely' }), await find({ q: 'previewed' })], [[id], []]);
  await service.api('DELETE', `/v1/messages/${id}`);
  assert.deepEqual(await find({ q: 'cut completely' }), []);
});

test('can be held to a mailbox, a placement and a sender as well', async () => {
  const mail = (from: string) => `From: ${from}\r\nSubject: filterable\r\n\r\nx\r\n`;
  const mine = await store(mail("it's@example.com"), { labelIds: ['SPAM'] });
  const theirs = await store(mail('b@example.com'), {}, undefined, other);
  await untilSearchable(service.databaseUrl);
  const q = 'filterable';
  assert.deepEqual((await find({ q })).sort(), [mine, theirs].sort());
  assert.deepEqual(await find({ q, mailbox: other.mailboxId }), [theirs]);
  assert.deepEqual(await find({ q, placement: 'spam' }), [mine]);
  assert.deepEqual(await find({ q, from: "IT'S@example.com" }), [mine]);
  assert.deepEqual(await find({ q, from: 'b@example.com', placement: 'spam' }), []);
  assert.deepEqual(await find({ q, mailbox: `mbx_${'0'.repeat(32)}` }), []);
  assert.deepEqual(await find({ q, from: "\\' | 'filterable" }), []);
});

test('answers as the list does, and finds nothing of another tenant', async () => {
  const { body: key } = await service.api('POST', '/v1/keys', { role: 'reader', tenant: 'acme' });
  assert.deepEqual(await find({ q: 'invoice' }, key.key), []);
  assert.deepEqual(await find({ q: 'invoice or "=t default"' }, key.key), []);
  const { body: mailbox } = await service.api('POST', '/v1/mailboxes', {
    tenant: 'acme',
    address: 'acme@example.com',
  });
  const { body: ofAcme } = await service.api('POST', `/v1/mailboxes/${mailbox.id}/sources`, {
    kind: 'apps-script',
  });
  const id = await store('Subject: invoice of acme\r\n\r\nx\r\n', {}, undefined, ofAcme);
  await untilSearchable(service.databaseUrl);
  assert.deepEqual(await find({ q: 'invoice' }, key.key), [id]);
  assert.deepEqual(await find({ q: 'invoice' }), [id, ids.get('invoice')]);
  const { body: listed } = await service.api('GET', `/v1/messages?limit=1`);
  const { body: found } = await service.api('GET', '/v1/messages?limit=1&q=invoice');
  assert.deepEqual(found.data, listed.data);
});

test('is paged without a repeat or a gap while mail arrives', async () => {
  const count = 30;
  const mail = (n: number) => `Subject: pageable ${n}\r\n\r\nx\r\n`;
  const expected: string[] = [];
  for (let n = 0; n < count; n++) expected.unshift(await store(mail(n)));
  await untilSearchable(service.databaseUrl);
  const paged: string[] = [];
  for (let after: string | null = '', n = count; after !== null; n++) {
    const response = await get({ q: 'pageable', limit: '4', ...(after !== '' && { after }) });
    const page = (await response.json()) as Page;
    assert.ok(page.data.length <= 4 && page.data.length > 0);
    paged.push(...page.data.map(({ id }) => id));
    after = page.next;
    await store(mail(n));
  }
  assert.deepEqual(paged, expected);
});

test('goes on behind the cursor of the same search only', async () => {
  const nextOf = async (query: Record<string, string>) =>
    ((await (await get({ limit: '1', ...query })).json()) as Page).next ?? '';
  const [ofSearch, ofOther, ofList] = [
    await nextOf({ q: 'pageable' }),
    await nextOf({ q: 'pageable x' }),
    await nextOf({}),
  ];
  for (const query of [
    { q: 'pageable', after: ofOther },
    { q: 'pageable', after: ofList },
    { after: ofSearch },
    { q: 'pageable', after: 'x' },
    { q: 'pageable', after: '' },
  ]) {
    const problem = await expectProblem(await get(query), 400, 'bad_request');
    assert.deepEqual(faultPaths(problem), ['after']);
  }
  assert.equal((await get({ q: 'pageable', after: ofSearch })).status, 200);
});
