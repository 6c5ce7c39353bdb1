import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createTestDatabase } from '../support/database.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { createDataDirectory, type DataDirectory, type Ended, startMailgress } from '../support/process.ts';
import { ADMIN_TOKEN, callApi, SECRET_KEY } from '../support/service.ts';

/*
 * From the embedded database to a managed one, and back into another embedded one, whose cluster is younger than what it is
 * given: there the numbers of old transactions are still to come.
 */

let managed: Awaited<ReturnType<typeof createTestDatabase>>;
let laptop: DataDirectory;
let other: DataDirectory;
before(async () => {
  managed = await createTestDatabase({ migrated: false });
  laptop = await createDataDirectory();
  other = await createDataDirectory();
});
after(async () => {
  await managed.drop();
  await laptop[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

const secrets = { MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN, MAILGRESS_SECRET_KEY: SECRET_KEY };
const embedded = ({ path }: DataDirectory) => ({ MAILGRESS_DATA_DIR: path, ...secrets });

async function run(args: string[], env: Record<string, string>): Promise<Ended> {
  await using command = startMailgress(args, env);
  return await command.ended;
}

type Events = { data: { id: string; cursor: string; data: { subject: string } }[]; next: string };

/** A service on one of the databases, with what its clients do. */
async function withService<T>(
  args: string[],
  env: Record<string, string>,
  work: (tools: {
    /** Waits for so many: other transactions of the cluster may hold the log back for a moment. */
    readEvents(after: string, count: number): Promise<Events>;
    send(subject: string): Promise<string>;
    stderr(): string;
  }) => Promise<T>,
): Promise<T> {
  await using service = startMailgress(args, env);
  const address = await service.ready();
  const found = await work({
    stderr: service.stderr,
    async readEvents(after, count) {
      const path = `/v1/events?types=message.received&after=${after}`;
      let page: Events | undefined;
      await waitUntil(`there are ${count} events`, async () => {
        page = (await callApi(address, 'GET', path)).body as Events;
        return page.data.length >= count;
      });
      assert.equal(page?.data.length, count);
      return page;
    },
    async send(subject) {
      const file = join(laptop.path, 'mail.eml');
      await writeFile(
        file,
        `From: a@example.com\r\nSubject: ${subject}\r\nMessage-ID: <${subject}@x>\r\n\r\nHello\r\n`,
      );
      // Each time with the source of the first, whose secret came along.
      const sent = await run(['send', file, '--json', '--url', address], { ...embedded(laptop) });
      assert.equal(sent.code, 0, sent.stderr);
      return JSON.parse(sent.stdout).status;
    },
  });
  service.kill('SIGTERM');
  assert.equal((await service.ended).code, 0);
  return found;
}

test('all moves along, readers go on where they were, and what was stored stays a duplicate', async () => {
  const before = await withService(['all'], embedded(laptop), async ({ send, readEvents }) => {
    assert.equal(await send('one'), 'accepted');
    assert.equal(await send('two'), 'accepted');
    const refused = await run(['copy', '--to', managed.url], embedded(laptop));
    assert.equal(refused.code, 69, refused.stderr);
    assert.match(refused.stderr, /already runs/);
    return readEvents('start', 2);
  });

  const copied = await run(['copy', '--to', managed.url], embedded(laptop));
  assert.equal(copied.code, 0, copied.stderr);
  assert.match(copied.stderr, /^messages: 2$/m);
  assert.match(copied.stdout, /MAILGRESS_SECRET_KEY/);
  const again = await run(['copy', '--to', managed.url], embedded(laptop));
  assert.equal(again.code, 65, again.stderr);
  assert.match(again.stderr, /in use/);

  const onManaged = { DATABASE_URL: managed.url, ...secrets };
  const middle = await withService(['serve'], onManaged, async ({ send, readEvents }) => {
    assert.deepEqual((await readEvents('start', 2)).data, before.data);
    assert.equal(await send('two'), 'duplicate');
    assert.equal(await send('three'), 'accepted');
    const page = await readEvents(before.next, 1);
    assert.deepEqual(
      page.data.map(({ data }) => data.subject),
      ['three'],
    );
    return page;
  });

  const back = await run(['copy', '--from', managed.url], embedded(other));
  assert.equal(back.code, 0, back.stderr);
  await withService(['all'], embedded(other), async ({ send, readEvents, stderr }) => {
    assert.match(stderr(), /moved to another cluster/);
    assert.equal(await send('one'), 'duplicate');
    assert.equal(await send('four'), 'accepted');
    const subjects = async (after: string, count: number) =>
      (await readEvents(after, count)).data.map(({ data }) => data.subject);
    assert.deepEqual(await subjects(middle.next, 1), ['four'], 'from where a reader was before');
    assert.deepEqual(await subjects('start', 4), ['one', 'two', 'three', 'four']);
  });
});

test('without a side to copy to, with two, and with one that is no PostgreSQL, it says how it is used', async () => {
  for (const args of [[], ['--to', managed.url, '--from', managed.url]]) {
    const refused = await run(['copy', ...args], embedded(laptop));
    assert.equal(refused.code, 64, refused.stderr);
    assert.match(refused.stderr, /--from URL and --to URL/);
  }
  const wrong = await run(['copy', '--to', 'mysql://ada:s3cret@db/mailgress'], embedded(laptop));
  assert.equal(wrong.code, 64, wrong.stderr);
  assert.match(wrong.stderr, /^mailgress: --to: must be a URL that begins with postgres:/);
  assert.ok(!wrong.stderr.includes('s3cret'));
});
