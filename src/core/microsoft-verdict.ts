import type { MailContent } from './message.ts';
import { verdictAbove } from './spam-score.ts';

type Verdict = MailContent['spamFilters'][number]['verdict'];

const MICROSOFT_SPAM = new Set(['SPM', 'SKS', 'SKB', 'BLK']);
/** Not filtered: an administrator or the user lets it pass, or it was released from quarantine. */
const MICROSOFT_ALLOWED = new Set(['SKN', 'SKI', 'SKA', 'SKQ', 'SFE']);

/**
 * What Exchange Online Protection decided, by the fields of X-Forefront-Antispam-Report, in upper case, '' where one is
 * missing: SFV first, since it also tells who overruled the filter; then a category (CAT) other than NONE; then the
 * score (SCL). https://learn.microsoft.com/defender-office-365/message-headers-eop-mdo
 */
export function microsoftVerdict(sfv: string, cat: string, score: number | null): Verdict {
  if (MICROSOFT_SPAM.has(sfv)) return 'spam';
  if (MICROSOFT_ALLOWED.has(sfv)) return 'ham';
  if (cat !== '' && cat !== 'NONE') return 'spam';
  if (sfv === 'NSPM') return 'ham';
  // 5 and 6 are spam, 7 to 9 surely so.
  return verdictAbove(score, 5);
}
