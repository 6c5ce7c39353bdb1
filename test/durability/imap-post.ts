import { setTimeout as wait } from 'node:timers/promises';
import type { Dovecot } from '../support/imap/dovecot.ts';
import type { Random } from '../support/random.ts';

/** A mail that was put into a mailbox; its subject is unlike all others. */
export type Posted = { subject: string; user: string; folder: string; how: 'drop' | 'deliver' };

/** Whoever writes to the mailboxes, whatever befalls their server. */
export type Post = {
  posted: ReadonlyMap<string, Posted>;
  /** Puts in so many mails, some `perSecond`. */
  send(count: number, perSecond: number): Promise<void>;
  /** Resolves once so many were put in. */
  reached(count: number): Promise<void>;
  /** Gives up what is not in yet. */
  stop(): void;
};

const FOLDERS = ['INBOX', 'INBOX', 'INBOX', 'Junk'] as const;

export function createPost(dovecot: Dovecot, users: readonly string[], random: Random): Post {
  const posted = new Map<string, Posted>();
  const waiting = new Set<{ count: number; resolve: () => void }>();
  let made = 0;
  let isStopped = false;

  async function sendOne(): Promise<void> {
    const subject = `Mail ${++made}`;
    const user = random.pick(users);
    const folder = random.pick(FOLDERS);
    const how = random.below(2) === 0 ? 'drop' : 'deliver';
    const raw = mailOf(subject, user, random);
    for (;;) {
      try {
        await dovecot[how](user, raw, folder === 'INBOX' ? {} : { folder });
        break;
      } catch {
        if (isStopped) return;
        // The server is away: as any other, this one tries again.
        await wait(200);
      }
    }
    posted.set(subject, { subject, user, folder, how });
    for (const one of waiting) {
      if (posted.size < one.count) continue;
      waiting.delete(one);
      one.resolve();
    }
  }

  return {
    posted,
    async send(count, perSecond) {
      const fromMs = performance.now();
      const underWay = new Set<Promise<void>>();
      for (let n = 0; n < count && !isStopped; n++) {
        const dueMs = fromMs + (n / perSecond) * 1000;
        if (dueMs > performance.now()) await wait(dueMs - performance.now());
        const one = sendOne().finally(() => underWay.delete(one));
        underWay.add(one);
        // In an order that can be said, mostly: a few at a time.
        if (underWay.size >= 4) await Promise.race(underWay);
      }
      await Promise.all(underWay);
    },
    reached: (count) =>
      new Promise((resolve) => {
        if (posted.size >= count) resolve();
        else waiting.add({ count, resolve });
      }),
    stop() {
      isStopped = true;
    },
  };
}

/** Mostly short, some of many pages. */
function mailOf(subject: string, user: string, random: Random): string {
  const lines = random.below(20) === 0 ? 1500 : 3 + random.below(40);
  const body = Array.from({ length: lines }, (_, line) => `${subject}, line ${line}, ${random.below(1e9)}`);
  const id = `${subject.replace(' ', '-')}.${random.below(1e9)}@example.com`;
  return [
    'From: Ada <ada@example.com>',
    `To: ${user}`,
    `Subject: ${subject}`,
    `Message-ID: <${id}>`,
    '',
    ...body,
    '',
  ].join('\r\n');
}
