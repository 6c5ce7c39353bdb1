import type { Message } from '../core/message.ts';
import { judge, type Verdict } from '../core/rules.ts';
import type { ClaimedDelivery } from '../store/claims.ts';
import type { GroupEntry } from '../store/subject-groups.ts';

/**
 * What is to be done with each claimed delivery. What was asked for by hand goes whatever the rules say; what has no
 * rules costs nothing here.
 *
 * @param enterGroups says which mails may go as the one of their subject group.
 */
export async function judgeClaim(
  deliveries: readonly ClaimedDelivery[],
  options: { now: Date; enterGroups: (entries: GroupEntry[]) => Promise<boolean[]> },
): Promise<{ delivery: ClaimedDelivery; verdict: Verdict }[]> {
  const judged = deliveries.map((delivery) => {
    const mail = rememberMail(delivery);
    const verdict = judgeOne(delivery, mail, options.now);
    return { delivery, verdict, entry: isOfGroup(verdict) ? groupEntryOf(delivery, mail) : undefined };
  });
  const entries = judged.flatMap(({ entry }) => entry ?? []);
  if (entries.length > 0) {
    const goes = await options.enterGroups(entries);
    const leftOut = new Set(entries.filter((_, index) => goes[index] === false));
    for (const one of judged) {
      if (one.entry !== undefined && leftOut.has(one.entry)) one.verdict = { skip: 'subjectGroup' };
    }
  }
  return judged.map(({ delivery, verdict }) => ({ delivery, verdict }));
}

/**
 * A guess opens no window: were the mail none that is wanted, one that is would be left out for it. So it asks for nothing, and
 * goes beside the one of its group.
 */
function isOfGroup(verdict: Verdict): boolean {
  return 'send' in verdict && verdict.isGuess !== true;
}

type ReadMail = () => Message | null;

/** Parsed when it is first asked for. */
function rememberMail(delivery: ClaimedDelivery): ReadMail {
  let mail: Message | null | undefined;
  return () => {
    if (mail === undefined) mail = readMail(delivery);
    return mail;
  };
}

/** Null for other events, and for what was deleted; and for what is no JSON, which must not fail all that was claimed with it. */
function readMail({ eventType, data }: ClaimedDelivery): Message | null {
  if (eventType !== 'message.received' || data === null) return null;
  try {
    // The cast holds: it is what we made of a Message ourselves; as another version made it, perhaps.
    return JSON.parse(data) as Message | null;
  } catch {
    return null;
  }
}

function judgeOne(delivery: ClaimedDelivery, mail: ReadMail, now: Date): Verdict {
  const { endpoint, mailboxId, eventType } = delivery;
  if (delivery.isCancelled) return { skip: 'cancelled' };
  if (delivery.ignoresRules || eventType === 'endpoint.test') return { send: true };
  // They may have been changed since it was queued.
  if (!endpoint.types.includes(eventType)) return { skip: 'types' };
  try {
    return judge(endpoint.rules, { mailboxId, mail }, now);
  } catch {
    // No message as we know it, which must not fail the others either: it goes as an event without a mail would.
    return judge(endpoint.rules, { mailboxId, mail: () => null }, now);
  }
}

/** Undefined where it is of no group: other events, and mails whose subject says nothing. */
function groupEntryOf(delivery: ClaimedDelivery, mail: ReadMail): GroupEntry | undefined {
  const { subjectGroup } = delivery.endpoint.rules;
  if (subjectGroup === undefined || delivery.ignoresRules) return undefined;
  const group = mail()?.subjectGroup;
  if (group === undefined || group === '') return undefined;
  return {
    endpointId: delivery.endpoint.id,
    replayId: delivery.replayId,
    tenant: delivery.tenant,
    subjectGroup: group,
    eventId: delivery.eventId,
    at: delivery.eventCreatedAt,
    windowMs: subjectGroup.windowMs,
  };
}
