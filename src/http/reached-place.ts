import { compareFeedPositions, type FeedPosition, findFeedEnd } from '../store/feed.ts';
import { FEED_RAISED, raiseFeed } from '../store/feed-places.ts';
import { notOfThisLog } from './feed-text.ts';
import type { Services } from './services.ts';

/**
 * Refuses a place that the log has not come to: it is none of its own. Not one that was read before another server took over
 * from an earlier point, however shortly after: a reader who is told that his place is wrong gives up for good.
 *
 * @param path what it was sent as.
 * @throws MailgressError `bad_request`.
 */
export async function expectReached(
  { database: { sql }, log }: Services,
  position: FeedPosition,
  path: string,
): Promise<void> {
  const isReached = async () => compareFeedPositions(position, await findFeedEnd(sql)) <= 0;
  if (await isReached()) return;
  if (await raiseFeed(sql)) log.warn(FEED_RAISED);
  if (!(await isReached())) throw notOfThisLog(path);
}
