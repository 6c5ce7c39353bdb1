import assert from 'node:assert/strict';
import { fillInScript } from '../../src/sources/apps-script/script.ts';
import { ADMIN_TOKEN, mailOf, type PushSource } from '../support/service.ts';
import { callGmail } from './gmail-service.ts';
import { createRuntime, type Runtime } from './runtime.ts';
import type { World } from './world.ts';

/** A mailbox with the script installed in it, and what became of its mail. */
export type Installation = {
  runtime: Runtime;
  source: PushSource & { mailboxId: string };
  world: World;
  /** Mail comes in, now; answers its id. */
  deliver(subject: string, options?: DeliverOptions): string;
  delivered: Delivered[];
  /** Provider ids of what the server has stored, in order. */
  stored(): string[];
  // biome-ignore lint/suspicious/noExplicitAny: a row of sources
  row(): any;
  /** An answer of the API about the source's mailbox. */
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  api(method: string, path: string): any;
  /** Lets so many minutes pass. */
  pass(minutes: number): void;
  /** Holds that all mail is stored, each once, and that no event was made twice. */
  expectAllStored(): void;
  /** Holds that the cursor has passed nothing that is not stored. */
  expectCursorBehindServer(): void;
};

export type Delivered = { id: string; historyId: bigint; isWanted: boolean };
type DeliverOptions = {
  labelIds?: string[];
  body?: string;
  headers?: string;
  isWanted?: boolean;
  raw?: string;
};

let made = 0;

/** @param change edits the script before it is run, as its owner may. */
export function createInstallation(
  world: World,
  account: string,
  { install = true, change = (script: string) => script } = {},
): Installation {
  const source = world.addSource(`${++made}-${account}`);
  const script = change(
    fillInScript({
      url: world.address,
      sourceId: source.id,
      secret: source.secret,
      version: '1.0.0',
      bodyLimitBytes: world.bodyLimitBytes,
    }),
  );
  const runtime = createRuntime(world, account, { script });
  const delivered: Delivered[] = [];
  const mailbox = `'${source.mailboxId.slice('mbx_'.length)}'`;

  const installation: Installation = {
    runtime,
    source,
    world,
    delivered,
    deliver(subject, { labelIds = ['INBOX'], body, headers, isWanted = true, raw } = {}) {
      const mail = raw ?? mailOf(subject, body, headers);
      const { status, json } = callGmail(world, account, 'POST', 'messages/import', {
        raw: Buffer.from(mail).toString('base64url'),
        labelIds,
        internalDate: String(world.clock.now),
      });
      assert.equal(status, 200, JSON.stringify(json));
      delivered.push({ id: json.id, historyId: BigInt(json.historyId), isWanted });
      return json.id;
    },
    stored: () =>
      world
        .sql(`SELECT document ->> 'providerId' AS id FROM messages WHERE mailbox_id = ${mailbox} ORDER BY id`)
        .map(({ id }) => id),
    row: () => world.sql(`SELECT * FROM sources WHERE id = '${source.id.slice('src_'.length)}'`)[0],
    api(method, path) {
      const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
      const { body } = world.http({ url: `service:${path}`, method, headers });
      return JSON.parse(Buffer.from(body).toString());
    },
    pass: (minutes) => runtime.runUntil(world.clock.now + minutes * 60_000),
    expectAllStored() {
      const expected = delivered.filter(({ isWanted }) => isWanted).map(({ id }) => id);
      const stored = installation.stored();
      assert.deepEqual([...stored].sort(), [...expected].sort());
      const [{ count }] = world.sql(`SELECT count(*)::int FROM events
        WHERE type = 'message.received' AND mailbox_id = ${mailbox}`);
      assert.equal(count, expected.length);
    },
    expectCursorBehindServer() {
      const { cursor } = runtime.state;
      if (!cursor) return;
      const stored = new Set(installation.stored());
      const lost = delivered.filter(
        ({ id, historyId, isWanted }) => isWanted && historyId <= BigInt(cursor) && !stored.has(id),
      );
      assert.deepEqual(lost, []);
      const acknowledged = installation.row().cursor;
      if (acknowledged !== null)
        assert.ok(BigInt(cursor) <= BigInt(acknowledged), `${cursor} > ${acknowledged}`);
    },
  };
  if (install) runtime.run('install');
  return installation;
}
