import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';
import type { ServiceOptions } from '../../src/service.ts';
import { type Consumer, startConsumer } from '../support/consumer.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

/** A service with a worker, and a consumer of its events. */
export type Stage = AsyncDisposable & {
  service: TestService;
  consumer: Consumer;
  /** A mailbox and its imap source; the server's address goes into `body`. */
  addSource(address: string, body: Record<string, unknown>): Promise<Answer>;
  readSource(id: string): Promise<Answer['body']>;
  /** The subjects of the mail that came as webhooks, in order. */
  subjects(): string[];
  /** Resolves once mail with all these subjects has come; each once. */
  waitForSubjects(subjects: readonly string[], timeoutMs?: number): Promise<void>;
  waitForState(id: string, state: string, timeoutMs?: number): Promise<Answer['body']>;
};

export async function startStage(
  options: Partial<ServiceOptions> = {},
  types: readonly string[] = ['message.received'],
): Promise<Stage> {
  const service = await startTestService({ imap: true, ...options });
  const consumer = await startConsumer();
  await service.api('POST', '/v1/endpoints', { url: consumer.url, types });
  const readSource = async (id: string) => (await service.api('GET', `/v1/sources/${id}`)).body;
  const seen: (string | undefined)[] = [];
  // Each is parsed once: tests of a thousand mails ask often.
  const subjects = () => {
    for (const { body } of consumer.received.slice(seen.length)) {
      const { type, data } = JSON.parse(body);
      seen.push(type === 'message.received' ? data.subject : undefined);
    }
    return seen.filter((subject) => subject !== undefined);
  };

  return {
    service,
    consumer,
    readSource,
    subjects,
    async addSource(address, body) {
      const mailbox = await service.api('POST', '/v1/mailboxes', { address });
      assert.equal(mailbox.status, 201);
      return service.api('POST', `/v1/mailboxes/${mailbox.body.id}/sources`, { kind: 'imap', ...body });
    },
    async waitForSubjects(wanted, timeoutMs = 20_000) {
      let counts = new Map<string, number>();
      const isSo = () => {
        counts = countOf(subjects());
        return wanted.every((subject) => counts.has(subject));
      };
      await until(isSo, timeoutMs, () => {
        const missing = wanted.filter((subject) => !counts.has(subject));
        return `${missing.length} of ${wanted.length} mails have not come: ${missing.slice(0, 5)}`;
      });
      assert.deepEqual(
        wanted.filter((subject) => counts.get(subject) !== 1),
        [],
        'each once',
      );
    },
    async waitForState(id, state, timeoutMs = 20_000) {
      let source: Answer['body'];
      await until(
        async () => {
          source = await readSource(id);
          return source.state === state;
        },
        timeoutMs,
        () => `${id} is ${source?.state} (${source?.reason}), not ${state}`,
      );
      return source;
    },
    async [Symbol.asyncDispose]() {
      await service.dispose();
      await consumer.close();
    },
  };
}

function countOf(words: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** Asks until it holds, and says why not when it takes too long. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  timeoutMs: number,
  describe: () => string,
): Promise<void> {
  for (const endsMs = performance.now() + timeoutMs; !(await isSo()); await wait(20)) {
    if (performance.now() > endsMs) throw new Error(`${describe()} after ${timeoutMs} ms`);
  }
}

/** How a source reaches a server of a test. */
export function serverOf(
  { host, port, password }: { host: string; port: number; password: string },
  user: string,
): Record<string, unknown> {
  return { host, port, security: 'none', auth: { type: 'password', user, password } };
}

let mails = 0;

export function mailTo(address: string, subject = `Mail ${++mails}`, body = 'Hello'): string {
  return `From: Ada <ada@example.com>\r\nTo: ${address}\r\nSubject: ${subject}\r\nMessage-ID: <${encodeURIComponent(subject)}.${process.pid}@example.com>\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\n\r\n${body}\r\n`;
}
