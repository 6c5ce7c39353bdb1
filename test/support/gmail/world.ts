import { once } from 'node:events';
import { createRandom } from '../random.ts';
import type { Call } from './calls.ts';
import { type Fault, PASSING_FAULTS, type Rule } from './faults.ts';
import { type Client, createGrants, type Grants } from './grants.ts';
import { createLedger, isOneOf, type Ledger, type Limits, type Which } from './ledger.ts';
import { importBody, type NewMail } from './mail.ts';
import { createMailboxes, listAll, type Mailboxes } from './mailboxes.ts';
import { type Hook, listen, serve } from './proxy.ts';
import { startUpstream } from './upstream.ts';

/** A Google with mailboxes: emulate's, behind a proxy that adds what it lacks, and faults. */
export type GmailWorld = AsyncDisposable &
  Pick<Mailboxes, 'historyId' | 'watchedUntilMs' | 'expireHistory' | 'lagHistory' | 'expirePageTokens'> &
  Pick<Grants, 'refreshToken' | 'consent' | 'grant' | 'revoke' | 'expireAccessTokens' | 'serviceAccount'> & {
    /** Of the Gmail API, with a slash at its end. */
    apiUrl: string;
    tokenUrl: string;
    authorizationUrl: string;
    client: Client;
    /** The variables of the service that lead here. */
    env: Record<string, string>;
    ledger: Ledger;
    /** A new mail; `historyId` is that of its arrival. */
    deliver(account: string, mail?: NewMail): Promise<Arrived>;
    /** So many mails, several at a time; their ids in the order of `mailOf`. */
    deliverMany(account: string, count: number, mailOf?: (index: number) => NewMail): Promise<Arrived[]>;
    remove(account: string, id: string): Promise<void>;
    label(account: string, id: string, add: readonly string[], remove?: readonly string[]): Promise<void>;
    /** Of all mails, those in spam and trash too; newest first. */
    ids(account: string): Promise<string[]>;
    /** Tells of each change of a mailbox as Gmail does: while it is watched (`always`: also while it is not). */
    pushTo(publish: Publish | undefined, settings?: { always?: boolean }): void;
    /** Asked at each call, in the order they were added; the first that answers a fault decides. */
    addRule(rule: Rule): RemoveIt;
    /** The next calls that are `which` meet this fault: `times` of them, by default one. */
    fail(which: Which, fault: Fault, times?: number): RemoveIt;
    /** A share of the calls (0 to 1), of `names` alone where given, meets one of these faults. */
    failSome(settings: SomeFaults): RemoveIt;
    /** Told of each call; it waits for the hook. */
    addHook(hook: Hook): RemoveIt;
    close(): Promise<void>;
  };

export type Arrived = { id: string; threadId: string; historyId: string };
export type Publish = (account: string, historyId: string) => void;
export type SomeFaults = {
  share: number;
  seed: number;
  faults?: readonly (() => Fault)[];
  names?: readonly Call['name'][];
};
type RemoveIt = () => void;

export type WorldSettings = {
  accounts: readonly string[];
  /** Answered with 429 above these; without, nobody is. */
  limits?: Limits;
  /** Pages have so many entries at most, however many were asked for; Google's limit by default. */
  largestPage?: number;
  /** How long access tokens hold. */
  tokenSeconds?: number;
  /** Where consents may send the browser. */
  redirectUris?: readonly string[];
  /** Of id tokens; by default the world's own address. */
  issuer?: string;
};

/** Deliveries at once. */
const CONCURRENCY = 8;

export async function startGmailWorld(settings: WorldSettings): Promise<GmailWorld> {
  const { accounts, limits, tokenSeconds = 3599, redirectUris = ['http://127.0.0.1/connect'] } = settings;
  const { server, url } = await listen();
  const client: Client = {
    id: '123456789012-test.apps.googleusercontent.com',
    secret: 'GOCSPX-test',
    redirectUris,
  };
  const tokenUrl = `${url}/token`;
  const upstream = await startUpstream({ accounts, client, baseUrl: settings.issuer ?? url });
  const grants = await createGrants({ upstream, accounts, client, tokenUrl, lifetimeSeconds: tokenSeconds });
  const mailboxes = createMailboxes(upstream, settings.largestPage);
  const ledger = createLedger();
  const rules = new Set<Rule>();
  const hooks = new Set<Hook>();
  serve(server, { upstream, grants, mailboxes, ledger, rules, hooks, limits });

  let publish: Publish = () => {};
  let isAlways = false;
  function changed(account: string, historyId: string): void {
    if (isAlways || (mailboxes.watchedUntilMs(account) ?? 0) > Date.now()) publish(account, historyId);
  }

  async function change(account: string, method: string, path: string, body?: object) {
    const { status, json } = await upstream.gmail(account, method, path, body);
    if (status >= 300) throw new Error(`${method} ${path} of ${account}: ${status} ${JSON.stringify(json)}`);
    changed(account, json?.historyId ?? (await mailboxes.historyId(account)));
    return json;
  }

  async function deliver(account: string, mail: NewMail = {}): Promise<Arrived> {
    const { id, threadId, historyId } = await change(
      account,
      'POST',
      'messages/import',
      importBody(account, mail),
    );
    return { id, threadId, historyId };
  }

  function addRule(rule: Rule): RemoveIt {
    rules.add(rule);
    return () => rules.delete(rule);
  }

  async function close(): Promise<void> {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
    await upstream.close();
  }

  return {
    ...mailboxes,
    ...grants,
    apiUrl: `${url}/`,
    tokenUrl,
    authorizationUrl: `${url}/o/oauth2/v2/auth`,
    client,
    env: {
      GOOGLE_API_URL: `${url}/`,
      GOOGLE_TOKEN_URL: tokenUrl,
      GOOGLE_CLIENT_ID: client.id,
      GOOGLE_CLIENT_SECRET: client.secret,
      GOOGLE_SERVICE_ACCOUNT_JSON: grants.serviceAccount,
    },
    ledger,
    deliver,
    async deliverMany(account, count, mailOf = (index) => ({ subject: `Mail ${index}` })) {
      const arrived: Arrived[] = [];
      let next = 0;
      const work = async () => {
        for (let index = next++; index < count; index = next++)
          arrived[index] = await deliver(account, mailOf(index));
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, work));
      return arrived;
    },
    remove: (account, id) => change(account, 'DELETE', `messages/${id}`),
    label: (account, id, addLabelIds, removeLabelIds = []) =>
      change(account, 'POST', `messages/${id}/modify`, { addLabelIds, removeLabelIds }),
    async ids(account) {
      const query = new URLSearchParams({ includeSpamTrash: 'true' });
      return (await listAll(upstream, account, query)).map(({ id }) => id);
    },
    pushTo(to = () => {}, { always = false } = {}) {
      publish = to;
      isAlways = always;
    },
    addRule,
    fail(which, fault, times = 1) {
      let left = times;
      return addRule((call) => (isOneOf(call, which) && left-- > 0 ? fault : undefined));
    },
    failSome({ share, seed, faults = PASSING_FAULTS, names }) {
      const random = createRandom(seed);
      return addRule((call) => {
        if (names !== undefined && !names.includes(call.name)) return undefined;
        return random.below(10_000) < share * 10_000 ? random.pick(faults)() : undefined;
      });
    },
    addHook(hook) {
      hooks.add(hook);
      return () => hooks.delete(hook);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
