import { createHash, randomBytes, randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../support/embedded-place.ts';
import { batch, gmailItem, type PushSource, push } from '../support/service.ts';

/** A mail that got a 2xx. */
export type Acked = { messageId: string; sha256: string };

/** Programs that push mail all the time, and whatever happens push a batch again until it is taken. */
export type Load = {
  acked: ReadonlyMap<string, Acked>;
  /** Answers that may never be: another status than 200 or 503, another message id than before. */
  violations: readonly string[];
  counts: { requests: number; repeated: number; duplicates: number };
  /** Resolves once `count` more mails were acked. */
  waitForAcks(count: number): Promise<void>;
  /** Begins no new batch, and resolves when every one that was begun has been taken. */
  finish(): Promise<void>;
  /** Ends without that. */
  abort(): void;
};

type Mail = { id: string; text: string };
type Batch = { mails: readonly Mail[]; body: string };
type Result = { status: string; messageId: string };

/** `sources`: each has a program of its own; those of kind raw get single mails, the others batches and cursors. */
export function startLoad(sources: readonly (PushSource & { kind: string })[]): Load {
  const acked = new Map<string, Acked>();
  const violations: string[] = [];
  const counts = { requests: 0, repeated: 0, duplicates: 0 };
  let made = 0;
  let isFinishing = false;
  let isAborted = false;

  function makeMail(): Mail {
    const id = (0x18c0000000 + ++made).toString(16);
    return { id, text: `Subject: Mail ${id}\r\nMessage-ID: <${id}@example.com>\r\n\r\n${bodyText()}\r\n` };
  }

  function makeBatch(source: { kind: string }, cursor: number): Batch {
    const mails = Array.from({ length: source.kind === 'raw' ? 1 : randomInt(1, 6) }, makeMail);
    if (source.kind === 'raw') return { mails, body: mails[0]?.text ?? '' };
    const items = mails.map(({ id, text }) => gmailItem(id, text));
    return { mails, body: batch(items, { cursor: { from: String(cursor), to: String(cursor + 1) } }) };
  }

  /** @returns the results, or undefined if it has to be sent again. */
  async function post(source: PushSource, body: string): Promise<Result[] | undefined> {
    counts.requests++;
    try {
      const response = await push(source, body);
      const text = await response.text();
      if (response.status === 200) return JSON.parse(text).results;
      if (response.status !== 503) violations.push(`${response.status} ${text.slice(0, 300)}`);
    } catch {
      // Nobody there, or gone in the middle.
    }
    counts.repeated++;
    return undefined;
  }

  function take({ mails }: Batch, results: readonly Result[]): void {
    for (const [index, { id, text }] of mails.entries()) {
      const { status, messageId } = results[index] ?? { status: 'nothing', messageId: '' };
      const before = acked.get(id)?.messageId;
      if (status === 'duplicate') counts.duplicates++;
      const isRight = status === 'duplicate' || (status === 'accepted' && before === undefined);
      if (!isRight || (before !== undefined && before !== messageId))
        violations.push(`${id}: ${status} ${messageId}, before ${before}`);
      acked.set(id, { messageId, sha256: createHash('sha256').update(text).digest('hex') });
    }
  }

  async function run(source: PushSource & { kind: string }): Promise<void> {
    for (let cursor = 1; !isFinishing; cursor++) {
      const one = makeBatch(source, cursor);
      // Now and then one that was taken is pushed again, as by a client that missed the answer.
      for (let times = randomInt(10) === 0 ? 2 : 1; times > 0 && !isAborted; ) {
        const results = await post(source, one.body);
        if (results === undefined) {
          await sleep(randomInt(20, 60));
          continue;
        }
        take(one, results);
        times--;
      }
    }
  }

  const programs = sources.map(run);
  return {
    acked,
    violations,
    counts,
    async waitForAcks(count) {
      const goal = acked.size + count;
      await waitUntil(`${count} more mails are acked`, () => acked.size >= goal || violations.length > 0);
    },
    async finish() {
      isFinishing = true;
      await Promise.all(programs);
    },
    abort() {
      isFinishing = true;
      isAborted = true;
    },
  };
}

/** Mostly short, some long, a few that exceed what the driver and the socket take at once. */
function bodyText(): string {
  const draw = randomInt(20);
  const sizeBytes = draw === 0 ? 300_000 : draw < 4 ? 20_000 : 200;
  return randomBytes(sizeBytes / 2)
    .toString('hex')
    .replace(/.{76}/g, '$&\r\n');
}
