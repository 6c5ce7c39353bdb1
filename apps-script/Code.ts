/**
 * Mailgress for Gmail.
 *
 * Once a minute this script asks your mailbox what is new and posts it, signed, to your Mailgress server. It can read
 * your mail, but not change, send or delete any, and it calls no address but the one below. In Mailgress's source,
 * apps-script/Code.ts, each part is explained.
 *
 * Choose a function above and press "Run":
 *   install        checks everything, then starts (once)
 *   status         what it did last, and what waits
 *   selfTest       tries every part and says which one fails
 *   pause, resume
 *   resync         sends the mail of the last RESYNC_HOURS again (the server keeps each mail once)
 *   rotateSecret   takes the new secret that you have put below
 *   uninstall      stops for good and forgets everything
 */

// ---- Configuration: filled in by the server

const MAILGRESS_URL = 'https://mailgress.example.com';
const SOURCE_ID = 'src_';
/** `install` keeps it where nobody else can read it. Empty it here then. */
const SECRET = '';
const ACCOUNT: string = '';
const VERSION = '0.0.0';
const BODY_LIMIT_BYTES = 52428800;

// ---- Configuration: yours to change

/** Whether any other account than ACCOUNT will do. */
const ANY_ACCOUNT = false;
/** Drafts are never sent; mail that you wrote to yourself is. */
const SKIP_SENT = true;
const SKIP_SPAM = false;
const SKIP_TRASH = false;
/** The first `install` sends the mail of so many hours back; 0: only what arrives from now on. */
const BACKFILL_HOURS = 0;
const RESYNC_HOURS = 24;
/** Google gives triggers 90 minutes a day (Workspace 360). From here on it looks every 5 minutes. */
const RUNTIME_MINUTES_A_DAY = 75;

// ---- Limits, and where they come from

const MINUTE = 60 * 1000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Google ends a run after 6 minutes, and a post may take one. */
const RUN_BUDGET_MS = 4 * MINUTE;
/** Gmail allows 6,000 units a minute, and a mail costs 20. */
const MAILS_A_RUN = 250;
const MAILS_A_BATCH = 100;
const BATCH_BYTES = 2 * 1024 * 1024;
/** A property holds 9 KB, all of them 500 KB. */
const IDS_A_PROPERTY = 300;
const QUEUE_IDS = 10000;
/** After so many a mail goes as headers alone; after so many it is reported and passed over. */
const WHOLE_TRIES = 3;
const TRIES = 5;
/** The server worries when three are missed. Triggers are not punctual, hence the half minute. */
const HEARTBEAT_MS = 15 * MINUTE - MINUTE / 2;

// ---- Functions that a person runs

function install() {
  checkConfiguration_();
  withLock_(() => {
    let state = loadState_();
    const secret = SECRET || loadSecret_();
    const account = Session.getEffectiveUser().getEmail();
    const isOther = ACCOUNT !== '' && account.toLowerCase() !== ACCOUNT.toLowerCase();
    if (isOther && !ANY_ACCOUNT) {
      throw new Error(`You are signed in as ${account}, but this script is for ${ACCOUNT}. See ANY_ACCOUNT.`);
    }
    ping_(secret);
    properties_().setProperty('mailgress.secret', secret);
    // Never over a cursor that is there: what lies between would be skipped.
    if (state.cursor === '' || state.source !== SOURCE_ID) {
      const now = Date.now();
      const cursor = String(gmail_().getProfile('me').historyId);
      state = { ...emptyState_(), source: SOURCE_ID, cursor, goodAt: now };
      if (BACKFILL_HOURS > 0) state.queue = newQueue_('backfill', now - BACKFILL_HOURS * HOUR);
    }
    state.account = account;
    state.waitUntil = 0;
    state.minutes = 1;
    saveState_(state);
    setTrigger_(1);
    console.log(`Installed: ${state.account} is read every minute, from history id ${state.cursor}.`);
    console.log('Now empty SECRET above and save.');
  });
}

function uninstall() {
  withLock_(() => {
    for (const trigger of triggers_()) ScriptApp.deleteTrigger(trigger);
    properties_().deleteAllProperties();
    console.log(`Uninstalled. The server will miss it: mailgress source stop ${SOURCE_ID}`);
  });
}

function status() {
  const state = loadState_();
  const { account, batch, lastError, waitUntil } = state;
  const at = (ms: number) => (ms === 0 ? 'never' : new Date(ms).toISOString());
  const text = [
    `mailbox     ${account || 'not installed: run install'}${state.paused ? ', PAUSED: run resume' : ''}`,
    `runs        every ${state.minutes} min (${triggers_().length} trigger), last ${at(state.lastRunAt)}`,
    `server      heard it ${at(state.lastPostAt)}`,
    `cursor      ${state.cursor}: all mail up to ${at(state.goodAt)}`,
    `backlog     ${state.backlog}${batch === null ? '' : `, ${batch.ids.length} being sent`}`,
    `runtime     ${Math.round(runtimeOf_(state) / MINUTE)} min in 24 h`,
    `last error  ${lastError === '' ? 'none' : `${at(state.lastErrorAt)} ${lastError}`}`,
    `waits       ${waitUntil > Date.now() ? `until ${at(waitUntil)}` : 'no'}`,
  ].join('\n');
  console.log(text);
  return text;
}

function selfTest() {
  let failed = 0;
  const attempt = (what: string, run: () => unknown) => {
    try {
      run();
      console.log(`ok ${what}`);
    } catch (error) {
      failed++;
      console.log(`FAILED ${what}: ${messageOf_(error)}`);
    }
  };
  attempt('configuration', checkConfiguration_);
  attempt('signatures', () => {
    // What other implementations make of the same words, which are not ASCII.
    const made = signatureOf_(`${'A'.repeat(43)}=`, toBytes_('id.1.\u00e9 \u65e5\u672c \ud83d\ude00'));
    if (made !== 'v1,CF/WrlboU9WV+sG/dX/6sY0Spf8/6l4xHHzAnMp63zs=') throw new Error(made);
  });
  attempt('Gmail', () => gmail_().getProfile('me'));
  attempt('history', () => listHistory_(loadState_().cursor));
  attempt('the server', () => ping_(loadSecret_()));
  attempt('the trigger', () => {
    if (triggers_().length !== 1) throw new Error('It is not there once: run install');
  });
  return failed === 0;
}

/** No mail is read until `resume`, which goes on where it was. The server hears of it with the next run. */
function pause() {
  setPaused_(true);
}

function resume() {
  setPaused_(false);
}

function resync(hours: unknown) {
  withLock_(() => {
    const state = loadState_();
    if (state.cursor === '') throw new Error('Run install first.');
    if (isRecovering_(state)) throw new Error('Older mail is being sent: try again later.');
    // Run by its button it is given no number.
    const count = typeof hours === 'number' && hours > 0 ? hours : RESYNC_HOURS;
    const after = Date.now() - count * HOUR;
    state.queue = newQueue_('resync', state.queue === null ? after : Math.min(after, state.queue.after));
    // What an earlier search has on its way, this one finds again.
    if (state.batch?.isQueued) state.batch = null;
    saveState_(state);
    console.log(`The mail of the last ${count} hours goes out in the next runs.`);
  });
}

/** The server accepts the old one for another day. */
function rotateSecret() {
  checkConfiguration_();
  if (SECRET === '') throw new Error('Put the new secret into SECRET first.');
  withLock_(() => {
    ping_(SECRET);
    properties_().setProperty('mailgress.secret', SECRET);
    saveState_({ ...loadState_(), waitUntil: 0 });
    console.log('In use. Now empty SECRET above and save.');
  });
}

// ---- What the trigger runs

/**
 * Sends what is new. A run may end anywhere: the cursor moves when the server has named every mail, and what comes
 * twice is kept once.
 */
function poll() {
  withLock_(() => {
    const state = loadState_();
    const startedAt = Date.now();
    const waitMs = state.waitUntil - startedAt;
    // Never longer than a day: the clock may have been ahead.
    if (state.cursor === '' || (waitMs > 0 && waitMs <= DAY)) return;
    if (state.lastPostAt >= startedAt) state.lastPostAt = 0;
    noteDeath_(state, startedAt);
    const news = work_(state, { startedAt, budgetMs: budgetOf_(state), mails: 0, isOpen: false, held: null });
    // Google counts starts as well, of which a run sees nothing, also of those that returned above and noted nothing.
    const sinceMs = Math.min(DAY, startedAt - (state.lastRunAt || startedAt));
    const starts = Math.max(1, Math.round(sinceMs / MINUTE / state.minutes));
    addRuntime_(state, startedAt, Date.now() - startedAt + starts * 600);
    state.lastRunAt = startedAt;
    endRun_(state);
    saveState_(state);
    keepPace_(state);
    // A run that fails is shown as failed, and Google mails its owner about those.
    if (news !== null) throw new Error(news);
  }, 0);
}

/** Returns what the owner has to be told. */
function work_(state: State, run: Run): string | null {
  try {
    // Mail is only read when the server takes it: this finds out. It must not sound well while no mail gets through.
    if (state.isServerAway && (state.paused || !isStuck_(state))) heartbeat_(state);
    if (!state.paused) {
      // Then another mail has to go first, to tell.
      if (isStuck_(state)) state.batch = null;
      if (state.batch !== null) resend_(state, run, state.batch);
      if (!isRecovering_(state)) sendHistory_(state, run);
      if (state.queue !== null) sendQueue_(state, run, state.queue);
    }
    // Last, since it says that the mailbox can be read.
    if (Date.now() - state.lastPostAt >= HEARTBEAT_MS) heartbeat_(state);
    state.failures = 0;
    return null;
  } catch (error) {
    const waitMs = waitOf_(error, state.failures++);
    state.lastErrorAt = Date.now();
    state.lastError = messageOf_(error).slice(0, 300);
    state.waitUntil = state.lastErrorAt + waitMs;
    console.error(`${state.lastError} (again in ${Math.ceil(waitMs / MINUTE)} min)`);
    return Object(error).status === 401 ? state.lastError : null;
  }
}

/** Sends what history lists behind the cursor, page by page. */
function sendHistory_(state: State, run: Run) {
  const listedAt = Date.now();
  // Constant while pages are turned, although the cursor moves.
  const start = state.cursor;
  let waiting: Entry[] = [];
  let pageToken: string | undefined;
  do {
    const page = listHistoryOrRecover_(state, start, pageToken);
    if (page === null) return;
    pageToken = page.nextPageToken;
    waiting = waiting.concat(page.entries);
    if (waiting.length > 0) state.quiet = null;
    else if (pageToken === undefined) {
      state.quiet = { ...(state.quiet || { id: page.historyId, at: listedAt }), checkedAt: listedAt };
    }
    // A page may end within a record.
    const open = pageToken === undefined || waiting.length === 0 ? '' : waiting[waiting.length - 1].record;
    let ready = waiting.filter(({ record }) => record !== open);
    waiting = waiting.filter(({ record }) => record === open);
    while (ready.length > 0) {
      state.backlog = ready.length + waiting.length + queueLength_(state);
      if (!hasTime_(run)) return;
      ready = sendSome_(state, run, ready, false);
    }
  } while (pageToken !== undefined && hasTime_(run));
  if (pageToken !== undefined) return;
  state.goodAt = listedAt;
  state.backlog = queueLength_(state);
}

/** Sends what a search has found: for `resync` and `install`, and when history has expired. */
function sendQueue_(state: State, run: Run, queue: Queue) {
  const tellGap = (recoveredBy: string | null) =>
    post_(state, { gap: { from: state.cursor, reason: 'history_expired', recoveredBy } });
  if (isRecovering_(state) && !queue.isTold) {
    tellGap(null);
    queue.isTold = true;
    saveState_(state);
  }
  if (!queue.isListed) fillQueue_(state, run, queue);
  while (queue.done < queue.count) {
    state.backlog = queueLength_(state);
    if (!hasTime_(run)) return;
    const chunk = Math.floor(queue.done / IDS_A_PROPERTY);
    const ids: string[] = JSON.parse(properties_().getProperty(`mailgress.queue.${chunk}`) || '[]');
    const first = chunk * IDS_A_PROPERTY;
    const entries = ids.map((id, i) => ({ id, labelIds: [], record: String(first + i + 1) }));
    sendSome_(state, run, entries.slice(queue.done - first), true);
  }
  if (isRecovering_(state)) {
    // What a queue cannot hold is missing still.
    if (!queue.isCut) tellGap('search');
    post_(state, {}, queue.to);
    state.cursor = queue.to;
    state.goodAt = queue.madeAt;
  }
  console.log(`${queue.reason}: sent ${queue.count} mails${queue.isCut ? ', the newest' : ''}.`);
  state.queue = null;
  state.backlog = 0;
  saveState_(state);
}

/** Sends a batch of the first entries and returns those behind it, or all if it has to be smaller. */
function sendSome_(state: State, run: Run, entries: Entry[], isQueued: boolean): Entry[] {
  const [head] = entries;
  if (isDoubtful_(triesOf_(state, head.id))) probe_(state, run, entries);
  // One that has failed goes alone.
  const isSuspect = ({ id }: Entry) => triesOf_(state, id).count % TRIES > 0;
  const most = isSuspect(head) ? 1 : state.mailsABatch;
  const batch: Batch = { id: newId_(), isQueued, ids: [], missing: [], failed: [], mark: '' };
  const mails: Mail[] = [];
  let bytes = 0;
  let taken = 0;
  for (const entry of entries) {
    const { id, labelIds, record } = entry;
    const count = batch.ids.length + batch.missing.length + batch.failed.length;
    // A failed one is kept with its error, and a batch has to fit into a property.
    const isFull = count >= most || batch.failed.length >= TRIES || bytes >= BATCH_BYTES;
    if (taken > 0 && (isFull || isSuspect(entry) || !hasTime_(run))) break;
    const isNew = batch.ids.indexOf(id) < 0 && batch.missing.indexOf(id) < 0;
    // Every save of a draft is a new message, and most are gone a minute later.
    if (isNew && !isDraft_(labelIds)) {
      const read = readMail_(state, run, id, taken === 0);
      // It goes first in the next batch, where it is tried again.
      if (read === null) break;
      if (read.mail !== undefined) {
        const size = sizeOf_(read.mail);
        if (mails.length > 0 && bytes + size > BATCH_BYTES) {
          run.held = { id, mail: read.mail };
          break;
        }
        bytes += size;
      }
      note_(batch, mails, id, read);
    }
    taken++;
    // Within a record, only the one before may be acknowledged.
    if (taken === entries.length || entries[taken].record !== record) batch.mark = record;
    run.isOpen = batch.mark === '';
  }
  state.batch = batch;
  const passed = entries.slice(0, taken).map(({ id }) => id);
  return postBatch_(state, run, batch, mails, passed) ? entries.slice(taken) : entries;
}

/** Is it the first mail, or is it all of them? Another one tells; it is sent again in its turn. */
function probe_(state: State, run: Run, entries: Entry[]) {
  if (entries.length < 2) return;
  // Each time another, in case that it is as bad.
  const { id, labelIds } = entries[1 + ((state.failures + state.deaths) % (entries.length - 1))];
  if (isDraft_(labelIds)) return;
  begin_(state, run, '');
  const { mail } = readWhole_(id);
  if (mail === undefined) return;
  if (post_(state, { messages: [mail] }).indexOf(id) >= 0) prove_(state);
}

/** Sends a batch again under its id: its answer was lost, or it was refused for now. */
function resend_(state: State, run: Run, old: Batch) {
  if (!hasTime_(run)) return;
  const batch: Batch = { ...old, ids: [], missing: old.missing.slice(), failed: old.failed.slice() };
  const mails: Mail[] = [];
  for (const id of old.ids) {
    const read = hasTime_(run) && batch.failed.length < TRIES ? readMail_(state, run, id, false) : null;
    if (read === null) {
      // What there is of it goes as another, and acknowledges nothing.
      Object.assign(batch, { id: newId_(), mark: '' });
      state.mailsABatch = Math.max(1, Math.floor(old.ids.length / 2));
      break;
    }
    note_(batch, mails, id, read);
  }
  state.batch = batch;
  postBatch_(state, run, batch, mails, old.ids);
}

function note_(batch: Batch, mails: Mail[], id: string, { mail, isMissing, error }: Read) {
  if (mail !== undefined) {
    mails.push(mail);
    batch.ids.push(id);
  }
  if (isMissing) batch.missing.push(id);
  if (error !== undefined) batch.failed.push({ id, error, attempts: TRIES });
}

/** True when the server has it all, false when it has to be smaller; throws when it is to wait. */
function postBatch_(state: State, run: Run, batch: Batch, mails: Mail[], passed: string[]): boolean {
  // Should the answer be lost, the next run sends these again. Ids are kept, never mail.
  begin_(state, run, '');
  const { ids, missing, failed, mark } = batch;
  const to = batch.isQueued || mark === '' ? state.cursor : mark;
  try {
    const named = post_(state, { messages: mails, missing, failed }, to, batch.id);
    const lost = ids.find((one) => named.indexOf(one) < 0);
    if (lost !== undefined) throw new Error(`The server's answer does not name mail ${lost}`);
  } catch (error) {
    if (ids.length === 0 || !isRefused_(state, run, error)) throw error;
    const { status } = Object(error);
    const isCounted = refuse_(state, batch, status === 413);
    if (!isCounted && status !== 503) state.failures = 0;
    saveState_(state);
    if (isCounted || (status !== 413 && status !== 400)) throw error;
    return false;
  }
  if (!batch.isQueued) state.cursor = to;
  else if (state.queue !== null && mark !== '') state.queue.done = Number(mark);
  for (const id of mark === '' ? ids.concat(missing) : passed) delete state.tries[id];
  if (ids.length > 0) prove_(state);
  state.mailsABatch = Math.min(MAILS_A_BATCH, state.mailsABatch * 2);
  state.batch = null;
  saveState_(state);
  return true;
}

// ---- Which mail is to blame

/** Whether the mails are at fault: the server says so, or it has taken something else in this very run. */
function isRefused_(state: State, run: Run, error: unknown): boolean {
  const { status, isOurs, code } = Object(error);
  if (status === 413 || (isOurs && (status === 400 || status === 500))) return true;
  if ([401, 409, 429].indexOf(status) >= 0 || code === 'overloaded' || isForADay_(error)) return false;
  if (status === 503 && state.failures < TRIES) return false;
  return state.lastPostAt >= run.startedAt;
}

/** Half of it next, until it is known which mail it is. True when that one's tries were counted. */
function refuse_(state: State, { ids }: Batch, isTooLarge: boolean): boolean {
  const [id] = ids;
  state.batch = null;
  const isCounted = ids.length === 1 && !(isTooLarge && !triesOf_(state, id).isLarge);
  if (isCounted) count_(state, id);
  else if (ids.length === 1) state.tries[id] = { ...triesOf_(state, id), isLarge: true };
  else state.mailsABatch = Math.max(1, Math.floor(ids.length / 2));
  return isCounted;
}

/** Two tries; more only when another mail got through since the first, so that it is not all of them. */
function count_(state: State, id: string) {
  const tries = triesOf_(state, id);
  state.tries[id] = { ...tries, count: tries.isProven ? tries.count + 1 : Math.min(tries.count + 1, 2) };
}

function prove_({ tries }: State) {
  for (const id of Object.keys(tries)) tries[id].isProven = true;
}

function triesOf_({ tries }: State, id: string): Tries {
  return tries[id] || { count: 0, isProven: false, isLarge: false };
}

function isDoubtful_({ count, isProven }: Tries): boolean {
  return count >= 2 && !isProven;
}

/** No mail gets through, as far as is known. */
function isStuck_({ tries }: State): boolean {
  return Object.keys(tries).some((id) => isDoubtful_(tries[id]));
}

/** Should this run be ended from outside, the next one knows; and after that one, by which mail. */
function begin_(state: State, run: Run, trying: string) {
  state.trying = trying;
  state.startedAt = run.startedAt;
  saveState_(state);
}

/** When the run before never came to its end. Once may be chance. */
function noteDeath_(state: State, now: number) {
  if (state.startedAt === 0) return;
  const { deaths, trying, batch } = state;
  addRuntime_(state, now, Math.min(now - state.startedAt, 6 * MINUTE));
  if (trying !== '') count_(state, trying);
  else if (deaths > 0 && batch !== null && batch.ids.length > 0) refuse_(state, batch, false);
  if (deaths > 0) state.batch = null;
  endRun_(state);
  state.deaths = deaths + 1;
}

function endRun_(state: State) {
  state.startedAt = 0;
  state.trying = '';
  state.deaths = 0;
}

// ---- Reading Gmail

/** The advanced service can do with read access; GmailApp cannot. */
function gmail_() {
  if (typeof Gmail === 'undefined') throw new Error('Add the Gmail API under "Services" on the left.');
  return Gmail.Users;
}

function listHistory_(startHistoryId: string, pageToken?: string): HistoryPage {
  // Without a label: mail that a filter moves out of the inbox counts as well.
  const options = { startHistoryId, historyTypes: ['messageAdded'], maxResults: 500, pageToken };
  const page = gmail_().History.list('me', options);
  const entries: Entry[] = [];
  for (const record of page.history || []) {
    for (const { message } of record.messagesAdded || []) {
      entries.push({ id: String(message?.id), labelIds: message?.labelIds || [], record: String(record.id) });
    }
  }
  return { entries, historyId: String(page.historyId), nextPageToken: page.nextPageToken || undefined };
}

/** Null when Gmail has forgotten the start, after a week or sooner: then a search takes its place. */
function listHistoryOrRecover_(
  state: State,
  start: string,
  pageToken: string | undefined,
): HistoryPage | null {
  try {
    return listHistory_(start, pageToken);
  } catch (error) {
    if (!isNotFound_(error)) throw error;
  }
  const since = Math.min(state.goodAt - HOUR, state.queue === null ? state.goodAt : state.queue.after);
  console.error(`History ${start} has expired: searching for all since ${new Date(since).toISOString()}`);
  // First where the mailbox stands, then the search: both find what arrives in between.
  const to = String(gmail_().getProfile('me').historyId);
  // What came in just before that may be in no search yet.
  Utilities.sleep(10 * 1000);
  state.queue = { ...newQueue_('history_expired', since), to };
  state.batch = null;
  state.quiet = null;
  saveState_(state);
  return null;
}

/** Keeps the ids that the search finds, oldest first. */
function fillQueue_(state: State, run: Run, queue: Queue) {
  const q = `after:${Math.floor(queue.after / 1000)}`;
  let ids: string[] = [];
  let pageToken: string | undefined;
  do {
    const page = gmail_().Messages.list('me', { q, includeSpamTrash: true, maxResults: 500, pageToken });
    ids = ids.concat((page.messages || []).map(({ id }) => String(id)));
    pageToken = page.nextPageToken || undefined;
    if (Date.now() - run.startedAt < RUN_BUDGET_MS) continue;
    if (state.failures < TRIES) throw new Error('Gmail takes too long to search');
    break;
  } while (pageToken !== undefined && ids.length < QUEUE_IDS);
  queue.isCut = pageToken !== undefined || ids.length > QUEUE_IDS;
  ids = ids.slice(0, QUEUE_IDS).reverse();
  for (let i = 0; i < ids.length; i += IDS_A_PROPERTY) {
    const chunk = ids.slice(i, i + IDS_A_PROPERTY);
    properties_().setProperty(`mailgress.queue.${i / IDS_A_PROPERTY}`, JSON.stringify(chunk));
  }
  queue.count = ids.length;
  queue.isListed = true;
  saveState_(state);
}

/** Null when that failed and the mails before it should go first; throws when it is to be tried later. */
function readMail_(state: State, run: Run, id: string, isFirst: boolean): Read | null {
  if (run.held?.id === id) {
    const { mail } = run.held;
    run.held = null;
    return { mail };
  }
  const { count, isLarge } = triesOf_(state, id);
  if (count >= TRIES) return giveUp_(id, 'It was refused, or ended its run');
  if (state.startedAt === 0 || state.deaths > 0) begin_(state, run, state.deaths > 0 ? id : '');
  run.mails++;
  try {
    return isLarge || count >= WHOLE_TRIES ? readHeaders_(id) : readWhole_(id);
  } catch (error) {
    if (isNotFound_(error)) return { isMissing: true };
    if (!isFirst) return null;
    if (/rate.?limit|quota|too many/i.test(messageOf_(error))) throw error;
    // Is it the mail or is it Gmail? If Gmail, this throws too.
    gmail_().getProfile('me');
    count_(state, id);
    if (state.tries[id].count < TRIES) throw error;
    return giveUp_(id, messageOf_(error));
  }
}

function readWhole_(id: string): Read {
  const message = gmail_().Messages.get('me', id, { format: 'raw' });
  if (isUnwanted_(message.labelIds || [])) return {};
  const mail: Mail = { ...describe_(id, message), raw: toBase64Url_(message.raw) };
  return sizeOf_(mail) > BODY_LIMIT_BYTES ? readHeaders_(id) : { mail };
}

/** For a mail that cannot be posted whole. */
function readHeaders_(id: string): Read {
  const message = gmail_().Messages.get('me', id, { format: 'metadata' });
  if (isUnwanted_(message.labelIds || [])) return {};
  let headers = '';
  for (const { name, value } of message.payload?.headers || []) {
    headers += `${name}: ${String(value).replace(/[\r\n]+\s*/g, ' ')}\r\n`;
  }
  const snippet = message.snippet || '';
  return { mail: { ...describe_(id, message), truncated: true, headers, snippet } };
}

function giveUp_(id: string, error: string): Read {
  console.error(`Mail ${id} is passed over: ${error}`);
  return { error: error.slice(0, 200) };
}

function describe_(id: string, { threadId, labelIds, internalDate }: GoogleAppsScript.Gmail.Schema.Message) {
  return { id, threadId: threadId || null, labelIds: labelIds || [], internalDate: internalDate || null };
}

/** `raw` comes as text from some runtimes and as bytes from others. */
function toBase64Url_(raw: unknown): string {
  if (typeof raw === 'string' && raw !== '') return raw;
  if (Array.isArray(raw) && raw.length > 0) return Utilities.base64EncodeWebSafe(raw);
  throw new Error('Gmail gave no content');
}

/** Judged by the mail's own labels. */
function isUnwanted_(labelIds: string[]): boolean {
  const has = (label: string) => labelIds.indexOf(label) >= 0;
  if (isDraft_(labelIds) || (SKIP_SENT && has('SENT') && !has('INBOX'))) return true;
  return (SKIP_SPAM && has('SPAM')) || (SKIP_TRASH && has('TRASH'));
}

function isDraft_(labelIds: string[]): boolean {
  return labelIds.indexOf('DRAFT') >= 0;
}

// ---- Talking to the server

/** Posts this part of a report, for history up to `to`, and returns the ids that the answer names. */
function post_(state: State, part: object, to = state.cursor, id = newId_()): string[] {
  const { account, backlog, paused } = state;
  const script = { version: VERSION, account };
  const cursor = { from: state.cursor, to };
  const body = { kind: 'messages', script, messages: [], cursor, backlog, paused, ...part };
  state.isServerAway = true;
  const results = send_(loadSecret_(), id, body);
  state.isServerAway = false;
  state.lastPostAt = Date.now();
  return results.map((result) => Object(result).id);
}

/** Moves the cursor over history without mail, too, before that expires. */
function heartbeat_(state: State) {
  const { cursor, quiet } = state;
  // History can lag behind its own newest id, but not for a quarter of an hour.
  const to = quiet === null || quiet.checkedAt - quiet.at < 15 * MINUTE ? cursor : quiet.id;
  post_(state, {}, to);
  if (to !== cursor) state.quiet = null;
  state.cursor = to;
}

function ping_(secret: string) {
  const account = Session.getEffectiveUser().getEmail();
  send_(secret, newId_(), { kind: 'ping', script: { version: VERSION, account } });
}

/** One call, signed as Standard Webhooks asks. */
function send_(secret: string, id: string, body: object): unknown[] {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const text = toAscii_(body);
  const signature = signatureOf_(secret, toBytes_(`${id}.${timestamp}.${text}`));
  const response = UrlFetchApp.fetch(`${MAILGRESS_URL}/v1/ingest/apps-script/${SOURCE_ID}`, {
    method: 'post',
    contentType: 'application/json',
    headers: { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature },
    payload: text,
    muteHttpExceptions: true,
    // A redirected POST becomes a GET, whose answer looks like success.
    followRedirects: false,
  });
  const status = response.getResponseCode();
  const { results, detail, code } = parseJson_(response.getContentText());
  if (status < 300 && Array.isArray(results)) return results;
  const hint = status === 401 ? ' Put the right secret into SECRET, run rotateSecret.' : '';
  const error = new Error(`The server answers ${status}: ${detail || 'not as Mailgress does'}.${hint}`);
  const headers: { [name: string]: unknown } = Object(response.getHeaders());
  const type = String(headers['Content-Type'] || headers['content-type']);
  const isOurs = /^application\/problem\+json/.test(type) && typeof code === 'string';
  throw Object.assign(error, { status, isOurs, code, retryMs: retryAfterOf_(headers) });
}

/** Of bytes, and with bytes: from text Apps Script drops what is not ASCII. */
function signatureOf_(secret: string, bytes: number[]): string {
  const key = Utilities.base64Decode(secret.replace('whsec_', ''));
  return `v1,${Utilities.base64Encode(Utilities.computeHmacSha256Signature(bytes, key))}`;
}

function toBytes_(text: string): number[] {
  return Utilities.newBlob(text).getBytes();
}

/** JSON that is as long in bytes, and is sent as it was signed: a large mail has no room for another copy as bytes. */
function toAscii_(value: object): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(/[^\0-\x7f]/g, escaped);
}

function newId_(): string {
  return `script_${Utilities.getUuid()}`;
}

function parseJson_(text: string): { [name: string]: unknown } {
  try {
    return Object(JSON.parse(text));
  } catch (_) {
    return {};
  }
}

// ---- When to stop, and for how long

/** In ms: 30 s, then 1.5, 3.5, 7.5 and 14.5 min (whole ones would miss the run that is due), or as asked. */
function waitOf_(error: unknown, failures: number): number {
  const { status, retryMs } = Object(error);
  const message = messageOf_(error);
  // Google words it in the owner's language. In another it is tried every 15 minutes, which does no harm.
  if (status === 401 || isForADay_(error)) return DAY;
  // Stopped on the server.
  if (status === 409) return HEARTBEAT_MS;
  const until = /retry after (\d{4}-\d\d-\d\dT[\d:.]+Z)/i.exec(message);
  const askedMs = until === null ? retryMs || 0 : Date.parse(until[1]) - Date.now();
  return Math.max(Math.min(15, 2 ** failures) * MINUTE - MINUTE / 2, Math.min(askedMs, DAY));
}

/** Google's quotas. Not by one word, which a host may have in its name. */
function isForADay_(error: unknown): boolean {
  const isDaily = /for one day|daily [a-z ]*(limit|quota)|bandwidth quota/i.test(messageOf_(error));
  return isDaily && Object(error).status === undefined;
}

function retryAfterOf_(headers: { [name: string]: unknown }): number {
  const value = String(headers['Retry-After'] || headers['retry-after']);
  return (/^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()) || 0;
}

function isNotFound_(error: unknown): boolean {
  const { code } = Object(Object(error).details);
  return code === undefined ? /(entity was|error:) not found/i.test(messageOf_(error)) : Number(code) === 404;
}

function messageOf_(error: unknown): string {
  return String(Object(error).message || error);
}

function hasTime_(run: Run): boolean {
  const ms = Date.now() - run.startedAt;
  if (run.budgetMs === 0 || ms >= RUN_BUDGET_MS) return false;
  // One mail at least, and a record as a whole.
  return run.mails === 0 || run.isOpen || (run.mails < MAILS_A_RUN && ms < run.budgetMs);
}

/** By the hour. */
function addRuntime_({ runtime }: State, now: number, ms: number) {
  const hour = Math.floor(now / HOUR);
  runtime[hour] = (runtime[hour] || 0) + ms;
}

/** Of a day; what is older is forgotten. */
function runtimeOf_({ runtime }: State): number {
  for (const hour of Object.keys(runtime)) if (Number(hour) <= Date.now() / HOUR - 25) delete runtime[hour];
  return Object.keys(runtime).reduce((sum, hour) => sum + runtime[hour], 0);
}

/** Full while half of the day's runtime is left; then in equal parts, and at last for heartbeats alone. */
function budgetOf_(state: State): number {
  const left = RUNTIME_MINUTES_A_DAY * MINUTE - runtimeOf_(state);
  if (left > (RUNTIME_MINUTES_A_DAY / 2) * MINUTE) return RUN_BUDGET_MS;
  return left < -10 * MINUTE ? 0 : Math.max(1, (left / DAY) * MINUTE * state.minutes);
}

/** Slower before Google's limit ends all runs, and back when there is room. */
function keepPace_(state: State) {
  const spent = Math.round(runtimeOf_(state) / MINUTE);
  const isOver = state.minutes === 1 && spent >= RUNTIME_MINUTES_A_DAY;
  const isUnder = state.minutes !== 1 && spent < RUNTIME_MINUTES_A_DAY / 2;
  if (!isOver && !isUnder) return;
  state.minutes = isOver ? 5 : 1;
  console.warn(`${spent} min of runtime in 24 h: from now on it looks every ${state.minutes} min.`);
  setTrigger_(state.minutes);
  // Noted last: ended before this, the next run does it again.
  saveState_(state);
}

/** Exactly one. The new one first: in between there are two, which the lock keeps apart. */
function setTrigger_(minutes: number) {
  const made = ScriptApp.newTrigger('poll').timeBased().everyMinutes(minutes).create();
  for (const one of triggers_()) if (one.getUniqueId() !== made.getUniqueId()) ScriptApp.deleteTrigger(one);
}

function triggers_() {
  return ScriptApp.getProjectTriggers().filter((one) => one.getHandlerFunction() === 'poll');
}

// ---- Small parts

/** With room for what surrounds it. */
function sizeOf_({ raw, headers }: Mail): number {
  return (raw || headers || '').length + 8192;
}

function newQueue_(reason: string, after: number): Queue {
  const madeAt = Date.now();
  return { reason, after, madeAt, to: '', isListed: false, isTold: false, isCut: false, count: 0, done: 0 };
}

function queueLength_({ queue }: State): number {
  return queue === null ? 0 : queue.count - queue.done;
}

function isRecovering_({ queue }: State): boolean {
  return queue !== null && queue.to !== '';
}

function setPaused_(paused: boolean) {
  withLock_(() => {
    // The next run begins with a heartbeat, which says so.
    saveState_({ ...loadState_(), paused, waitUntil: 0, isServerAway: true });
    console.log(paused ? 'Paused until you run resume.' : 'It goes on where it was.');
  });
}

function checkConfiguration_() {
  const isSafe = /^https:\/\/|^http:\/\/(localhost|127\.0\.0\.1)(:|$)/.test(MAILGRESS_URL);
  if (!isSafe) throw new Error('MAILGRESS_URL must begin with https://');
  const isSecret = SECRET === '' || /^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/.test(SECRET);
  if (isSecret && /^src_[0-9a-f]{32}$/.test(SOURCE_ID)) return gmail_();
  throw new Error('SOURCE_ID and SECRET must be as the server shows them: src_... and whsec_...');
}

/** A run that finds another at work does nothing; a person waits, and is told. */
function withLock_(run: () => void, waitMs = MINUTE / 2) {
  const lock = LockService.getUserLock();
  if (!lock.tryLock(waitMs)) {
    if (waitMs > 0) throw new Error('A run is at work: try again in a minute.');
    return;
  }
  try {
    run();
  } finally {
    lock.releaseLock();
  }
}

// ---- What is kept

/** One property, so that it changes as one: a run may end between any two calls. */
function emptyState_(): State {
  return {
    source: '',
    account: '',
    cursor: '',
    goodAt: 0,
    paused: false,
    waitUntil: 0,
    failures: 0,
    isServerAway: false,
    lastError: '',
    lastErrorAt: 0,
    lastRunAt: 0,
    lastPostAt: 0,
    startedAt: 0,
    trying: '',
    deaths: 0,
    tries: {},
    batch: null,
    mailsABatch: MAILS_A_BATCH,
    queue: null,
    quiet: null,
    backlog: 0,
    runtime: {},
    minutes: 1,
  };
}

function loadState_(): State {
  return { ...emptyState_(), ...JSON.parse(properties_().getProperty('mailgress.state') || '{}') };
}

function saveState_(state: State) {
  // More than fits would be no state at all. The server keeps each mail once, so these can be forgotten.
  if (toAscii_(state).length > 9000) Object.assign(state, { batch: null, tries: {} });
  properties_().setProperty('mailgress.state', toAscii_(state));
}

function loadSecret_(): string {
  const secret = properties_().getProperty('mailgress.secret');
  if (secret === null) throw new Error('Put the secret into SECRET and run install.');
  return secret;
}

/** The person's own: others who may open the script do not see them. */
function properties_() {
  return PropertiesService.getUserProperties();
}

type Entry = {
  id: string;
  labelIds: string[];
  /** Mails of one history record are acknowledged together. */
  record: string;
};
type HistoryPage = { entries: Entry[]; historyId: string; nextPageToken: string | undefined };
type Mail = {
  id: string;
  threadId: string | null;
  labelIds: string[];
  internalDate: string | null;
  raw?: string;
  truncated?: boolean;
  headers?: string;
  snippet?: string;
};
type Read = { mail?: Mail; isMissing?: boolean; error?: string };
type Run = {
  startedAt: number;
  budgetMs: number;
  /** Mails read so far. */
  mails: number;
  /** Within a record of history. */
  isOpen: boolean;
  held: { id: string; mail: Mail } | null;
};
type Tries = {
  count: number;
  /** Another mail got through since the first of them. */
  isProven: boolean;
  /** Refused for its size: only its headers from now on. */
  isLarge: boolean;
};
type Batch = {
  id: string;
  /** Of a search; otherwise of history. */
  isQueued: boolean;
  ids: string[];
  missing: string[];
  failed: { id: string; error: string; attempts: number }[];
  /** What may be acknowledged with it: a history id, or a place in the queue. Empty for nothing. */
  mark: string;
};
type Queue = {
  reason: string;
  /** Of which mail: what came after this time. */
  after: number;
  madeAt: number;
  /** The history id to adopt at the end; empty unless history has expired. */
  to: string;
  isListed: boolean;
  /** The server knows of the gap. */
  isTold: boolean;
  isCut: boolean;
  count: number;
  done: number;
};
type State = {
  source: string;
  account: string;
  /** The history id up to which the server has named all mail, and when that was all there was. */
  cursor: string;
  goodAt: number;
  paused: boolean;
  /** Until then nothing is done, after so many failures in a row. */
  waitUntil: number;
  failures: number;
  isServerAway: boolean;
  lastError: string;
  lastErrorAt: number;
  lastRunAt: number;
  lastPostAt: number;
  /** Of a run at work: since when, and reading which mail. How many before it never ended. */
  startedAt: number;
  trying: string;
  deaths: number;
  tries: { [id: string]: Tries };
  /** On its way. */
  batch: Batch | null;
  mailsABatch: number;
  /** A search whose mails are to be sent; the ids it found are properties of their own. */
  queue: Queue | null;
  /** The newest history id when nothing was listed, since when and until when that was so. */
  quiet: { id: string; at: number; checkedAt: number } | null;
  backlog: number;
  runtime: { [hour: string]: number };
  minutes: number;
};
