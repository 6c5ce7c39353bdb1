import { setTimeout as sleep } from 'node:timers/promises';
import type { NewMail } from '../support/gmail/mail.ts';
import type { GmailWorld } from '../support/gmail/world.ts';
import type { Random } from '../support/random.ts';

/** Everyone who writes mail, and the owners of the mailboxes. */
export type Post = {
  /** By id what has to be stored. */
  wanted: ReadonlyMap<string, Wanted>;
  /** Removed soon after it came: stored or not. */
  removed: ReadonlySet<string>;
  /** Drafts and sent mail: not to be stored. */
  unwanted: ReadonlySet<string>;
  /** How many mails came in all. */
  count(): number;
  /** So many mails at once, over all mailboxes; with them some are labelled, and some removed. */
  burst(count: number): Promise<void>;
  /** One more change of each mailbox, late enough to be told of. */
  touch(): Promise<void>;
};

export type Wanted = { account: string; historyId: string };

/** Gmail tells of one change a second. */
const TOLD_AGAIN_MS = 1_100;

export function createPost(world: GmailWorld, accounts: readonly string[], random: Random): Post {
  const wanted = new Map<string, Wanted>();
  const removed = new Set<string>();
  const unwanted = new Set<string>();
  let count = 0;

  async function deliver(account: string): Promise<void> {
    const kind = KINDS[random.below(KINDS.length)] ?? 'mail';
    const mail: NewMail = { subject: `Mail ${++count}`, ...(LABELS[kind] && { labelIds: LABELS[kind] }) };
    const { id, historyId } = await world.deliver(account, mail);
    if (kind === 'draft' || kind === 'sent') unwanted.add(id);
    else if (kind === 'removed') {
      removed.add(id);
      await world.remove(account, id);
    } else wanted.set(id, { account, historyId });
    if (kind === 'read') await world.label(account, id, [], ['UNREAD']);
  }

  return {
    wanted,
    removed,
    unwanted,
    count: () => count,
    async burst(size) {
      const share = Math.ceil(size / accounts.length);
      await Promise.all(
        accounts.map(async (account) => {
          for (let left = share; left > 0; left--) await deliver(account);
        }),
      );
    },
    async touch() {
      await sleep(TOLD_AGAIN_MS);
      const newest = new Map([...wanted].map(([id, { account }]) => [account, id]));
      await Promise.all([...newest].map(([account, id]) => world.label(account, id, ['STARRED'])));
    },
  };
}

type Kind = 'mail' | 'read' | 'spam' | 'draft' | 'sent' | 'removed' | 'to oneself';

/** Of a hundred mails so many of each kind. */
const SHARES: Record<Kind, number> = {
  mail: 85,
  read: 5,
  spam: 3,
  draft: 2,
  sent: 2,
  'to oneself': 2,
  removed: 1,
};
const KINDS = Object.entries(SHARES).flatMap(([kind, share]) => Array<Kind>(share).fill(kind as Kind));

const LABELS: Partial<Record<Kind, string[]>> = {
  spam: ['SPAM', 'UNREAD'],
  draft: ['DRAFT'],
  sent: ['SENT'],
  'to oneself': ['SENT', 'INBOX'],
};
