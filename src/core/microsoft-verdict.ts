import type { MailContent } from './message.ts';
import { verdictAbove } from './spam-score.ts';

type Verdict = MailContent['spamFilters'][number]['verdict'];

const MICROSOFT_SPAM = new Set(['SPM', 'SKS', 'SKB', 'BLK']);
/** Not filtered: an administrator or the user lets it pass, or it was released from quarantine. */
const MICROSOFT_ALLOWED = new Set(['SKN', 'SKI', 'SKA', 'SKQ', 'SFE']);

/**
 * The bulk complaint level that a policy has unless it is changed; the preset ones have 6 and 5.
 * https://learn.microsoft.com/defender-office-365/anti-spam-bulk-complaint-level-bcl-about
 */
const DEFAULT_BULK_THRESHOLD = 7;

/**
 * What Exchange Online Protection decided, by the fields of X-Forefront-Antispam-Report, in upper case, '' where one is
 * missing: SFV first, since it also tells who overruled the filter; then a category (CAT) other than NONE; then the
 * score (SCL). Bulk mail is a category that an organisation may let pass: with NSPM it did.
 * https://learn.microsoft.com/defender-office-365/message-headers-eop-mdo
 *
 * @param bulkLevel the BCL of X-Microsoft-Antispam, which decides only where nothing else does. A low one says that few
 *   complain of the sender's bulk mail, not that the mail is no spam.
 */
export function microsoftVerdict(
  sfv: string,
  cat: string,
  score: number | null,
  bulkLevel: number | null,
): Verdict {
  if (MICROSOFT_SPAM.has(sfv)) return 'spam';
  if (MICROSOFT_ALLOWED.has(sfv)) return 'ham';
  if (sfv === 'NSPM' && cat === 'BULK') return 'ham';
  if (cat !== '' && cat !== 'NONE') return 'spam';
  if (sfv === 'NSPM') return 'ham';
  // 5 and 6 are spam, 7 to 9 surely so.
  if (score !== null) return verdictAbove(score, 5);
  return bulkLevel !== null && bulkLevel >= DEFAULT_BULK_THRESHOLD ? 'spam' : 'unknown';
}
