import type { Header } from 'postal-mime';
import type { MailContent } from './message.ts';
import { microsoftVerdict } from './microsoft-verdict.ts';
import { numberIn, reportField, scoreIn, start, verdictAbove, yesOrNo } from './spam-score.ts';

type Finding = MailContent['spamFilters'][number];
type Verdict = Finding['verdict'];

/** The value of the topmost header of this lower-case name, undefined if there is none. */
type First = (name: string) => string | undefined;

/** `read` gives null where the filter has not been. */
type Filter = { name: string; read: (first: First) => Omit<Finding, 'name'> | null };

/**
 * What each filter writes. To know another filter, add a row, and its name to the docs of `spamFilterSchema`.
 * A verdict is `unknown` where the filter has been, but its headers do not say what it decided.
 */
const FILTERS: readonly Filter[] = [
  // https://spamassassin.apache.org/full/4.0.x/doc/Mail_SpamAssassin_Conf.html, add_header; before 3.0 `hits=`.
  { name: 'spamassassin', read: (first) => readSpamHeaders(first, 'spamassassin') },
  // https://rspamd.com/doc/modules/milter_headers.html. X-Spamd-Result is `name: True|False [score / required]`, where True
  // means rejected only; a mail that is let through as spam has an action of its own.
  {
    name: 'rspamd',
    read: (first) => {
      if (!hasAny(first, RSPAMD_HEADERS)) return null;
      const common = readSpamHeaders(first, 'rspamd');
      const [, isRejected, score] =
        /:\s*(true|false)\s*\[\s*([-+\d.]+)/i.exec(start(first('x-spamd-result'))) ?? [];
      const action = start(first('x-rspamd-action')).trim().toLowerCase();
      return {
        verdict:
          RSPAMD_ACTIONS.get(action) ??
          yesOrNo(first('x-spam')) ??
          (isRejected?.toLowerCase() === 'true' ? 'spam' : undefined) ??
          (common?.verdict === 'unknown' ? undefined : common?.verdict) ??
          (isRejected === undefined ? 'unknown' : 'ham'),
        score: numberIn(score) ?? numberIn(first('x-rspamd-score')) ?? common?.score ?? null,
      };
    },
  },
  // https://learn.microsoft.com/defender-office-365/message-headers-eop-mdo. The score is the SCL, -1 to 9; the BCL
  // counts complaints about bulk mail.
  {
    name: 'microsoft',
    read: (first) => {
      const report = start(first('x-forefront-antispam-report')).toUpperCase();
      const score = numberIn(reportField(report, 'SCL')) ?? numberIn(first('x-ms-exchange-organization-scl'));
      if (report === '' && score === null && first('x-microsoft-antispam') === undefined) return null;
      const bulkLevel = numberIn(reportField(start(first('x-microsoft-antispam')).toUpperCase(), 'BCL'));
      const verdict = microsoftVerdict(
        reportField(report, 'SFV'),
        reportField(report, 'CAT'),
        score,
        bulkLevel,
      );
      return { verdict, score };
    },
  },
  // As Protection Server writes it: `rule=notspam policy=default score=0 ...`, the score 0 to 100; the rule begins with
  // the policy's name if that is not the default one (`outbound_notspam`). `-Enc` is the same, encrypted.
  {
    name: 'proofpoint',
    read: (first) => {
      const details = first('x-proofpoint-spam-details');
      if (details === undefined && first('x-proofpoint-spam-details-enc') === undefined) return null;
      const [, rule = ''] = /\brule=(\S+)/i.exec(start(details)) ?? [];
      const [, score] = /\bscore=([-+\d.]+)/i.exec(start(details)) ?? [];
      const verdict = /(?:^|_)notspam$/i.test(rule)
        ? 'ham'
        : /(?:^|_)[a-z]*spam$/i.test(rule)
          ? 'spam'
          : 'unknown';
      return { verdict, score: numberIn(score) };
    },
  },
  // https://knowledge.validity.com/hc/en-us/articles/360033713732: from which score on it is spam the account decides.
  {
    name: 'mimecast',
    read: (first) => {
      const score = first('x-mimecast-spam-score');
      return score === undefined ? null : { verdict: 'unknown', score: numberIn(score) };
    },
  },
  // https://wiki.umiacs.umd.edu/umiacs/index.php/BarracudaSpamFirewall/Scoring shows them; the cloud service (X-BESS-*)
  // writes no Yes or No, but the score from which it quarantines.
  {
    name: 'barracuda',
    read: (first) => {
      const status = first('x-barracuda-spam-status') ?? first('x-bess-spam-status');
      const flag = yesOrNo(status) ?? yesOrNo(first('x-barracuda-spam-flag'));
      const score =
        scoreIn(status) ?? numberIn(first('x-barracuda-spam-score') ?? first('x-bess-spam-score'));
      if (status === undefined && flag === undefined && score === null) return null;
      const [, level] = /\bquarantine_level=([\d.]+)/i.exec(start(status)) ?? [];
      return { verdict: flag ?? verdictAbove(score, numberIn(level)), score };
    },
  },
  // Cisco AsyncOS user guide, "Headers Added During Anti-Spam Scanning": the result is encoded, for Cisco alone.
  {
    name: 'ironport',
    read: (first) => (hasAny(first, IRONPORT_HEADERS) ? { verdict: 'unknown', score: null } : null),
  },
  // Symantec Email Security.cloud, once MessageLabs: https://knowledge.broadcom.com/external/article/161415 and 173201.
  // X-SpamInfo is there only where it is spam.
  {
    name: 'symantec',
    read: (first) => {
      const reason = first('x-spamreason');
      const common = readSpamHeaders(first, 'symantec');
      const isSpam = first('x-spaminfo') !== undefined;
      if (reason === undefined && !isSpam && common === null && !hasAny(first, SYMANTEC_HEADERS)) return null;
      return {
        verdict: isSpam ? 'spam' : (yesOrNo(reason) ?? common?.verdict ?? 'unknown'),
        score: scoreIn(reason) ?? common?.score ?? null,
      };
    },
  },
  // amavisd-new runs SpamAssassin and writes X-Spam-* itself, with its own levels: `tagged_above=` or `tag=`.
  {
    name: 'amavis',
    read: (first) => {
      const common = readSpamHeaders(first, 'amavis');
      if (common === null && !isAmavisSeen(first)) return null;
      if (start(first('x-amavis-alert')).startsWith('INFECTED'))
        return { verdict: 'spam', score: common?.score ?? null };
      return common ?? { verdict: 'unknown', score: null };
    },
  },
];

const RSPAMD_HEADERS = [
  'x-spamd-result',
  'x-rspamd-action',
  'x-rspamd-score',
  'x-rspamd-server',
  'x-rspamd-queue-id',
  'x-spamd-bar',
];
const IRONPORT_HEADERS = [
  'x-ironport-anti-spam-filtered',
  'x-ironport-anti-spam-result',
  'x-ironport-anti-spam',
  'x-ipas-result',
];
const SYMANTEC_HEADERS = ['x-starscan-received', 'x-starscan-version', 'x-brightmail-tracker'];
/** Written by several of them; readSpamHeaders says by whom. */
const SPAM_HEADERS = ['x-spam-status', 'x-spam-flag', 'x-spam-score'];

/** A mail that was put off (greylist) and came again has passed. `soft reject` is for later, and says nothing. */
const RSPAMD_ACTIONS: ReadonlyMap<string, Verdict> = new Map([
  ['no action', 'ham'],
  ['greylist', 'ham'],
  ['add header', 'spam'],
  ['rewrite subject', 'spam'],
  ['quarantine', 'spam'],
  ['discard', 'spam'],
  ['reject', 'spam'],
]);

/**
 * What the spam filters on a mail's way say of it, one entry for each filter that was there, in the order of the
 * table; of a filter that was there twice, what it wrote last (on top). A sender can write such headers too, and its
 * own outgoing filter does: they are told as they came.
 *
 * One pass where there is none, which is most mail.
 */
export function readSpamFilters(headers: readonly Header[]): Finding[] {
  let values: Map<string, string> | undefined;
  for (const { key, value } of headers) {
    if (!key.startsWith('x-')) continue;
    values ??= new Map();
    if (!values.has(key)) values.set(key, value);
  }
  if (values === undefined) return [];
  const seen = values;
  const first: First = (name) => seen.get(name);
  return FILTERS.flatMap(({ name, read }) => {
    const finding = read(first);
    return finding === null ? [] : [{ name, ...finding }];
  });
}

/** X-Spam-Status, X-Spam-Flag and X-Spam-Score, if it is this filter that wrote them, else null. */
function readSpamHeaders(first: First, name: string): Omit<Finding, 'name'> | null {
  const status = first('x-spam-status');
  if (!hasAny(first, SPAM_HEADERS) || writerOfSpamHeaders(first, start(status)) !== name) return null;
  return {
    verdict: yesOrNo(status) ?? yesOrNo(first('x-spam-flag')) ?? 'unknown',
    score: scoreIn(status) ?? numberIn(first('x-spam-score')),
  };
}

/** By the shape of the status if it has one of its own, else by who else was there. */
function writerOfSpamHeaders(first: First, status: string): string {
  if (/\b(?:tagged_above|tag2?)=/.test(status)) return 'amavis';
  if (/\b(?:tests|required|hits)=/.test(status)) return 'spamassassin';
  if (hasAny(first, RSPAMD_HEADERS)) return 'rspamd';
  if (first('x-spaminfo') !== undefined || hasAny(first, SYMANTEC_HEADERS)) return 'symantec';
  return isAmavisSeen(first) ? 'amavis' : 'spamassassin';
}

function isAmavisSeen(first: First): boolean {
  return first('x-amavis-alert') !== undefined || /\bamavis/i.test(start(first('x-virus-scanned')));
}

function hasAny(first: First, names: readonly string[]): boolean {
  return names.some((name) => first(name) !== undefined);
}
