import type { Header } from 'postal-mime';
import { type AuthenticationHeader, parseAuthenticationHeader } from './authentication-header.ts';
import type { MailContent } from './message.ts';
import { type Receiver, type ReceiverFacts, receiverFacts } from './receiver.ts';
import { findReceiverBlock, type ReceiverBlock } from './trust-boundary.ts';

type Authentication = MailContent['authentication'];

/** What one header says, whichever it is; null or empty for what it does not say. */
type Statement = Omit<Authentication, 'trusted'>;

const NOTHING: Statement = { spf: null, dkim: [], dmarc: null, arc: null, server: null };

/** The words of RFC 8601, 2.7.1 and 2.7.2, among them those of DMARC (RFC 7489, 11.2) and ARC (RFC 8617, 10.2). */
const RESULTS = new Set(['none', 'pass', 'fail', 'softfail', 'neutral', 'policy', 'temperror', 'permerror']);

/** Most headers read of a kind: iCloud and Fastmail write four. */
const MAX_HEADERS = 10;

/** RFC 1035, 2.3.4: no name is longer. */
const LONGEST_NAME = 255;

/**
 * What the receiving side found out about the sender. `trusted` is true only for what its server is known to have
 * written, which takes both:
 *
 * - the authserv-id is one of the receiver's (RFC 8601, 5): of its provider, or exactly that of a server that
 *   the mailbox names;
 * - the header stands in the block that the receiver wrote (trust-boundary.ts). A sender can write any header, with
 *   any authserv-id, but only below.
 *
 * Within that block several headers count together (iCloud and Fastmail write one for each method), the topmost first;
 * then the ARC-Authentication-Results with the highest instance, which is of the last to seal (RFC 8617, 4.1.1), and
 * Received-SPF. These two count of a known provider alone: a server that the mailbox names need not delete those that
 * a sender wrote. What it has not of a method is null, whatever stands further down.
 *
 * Otherwise `trusted` is false, and told is what the topmost such header says, with its server: nobody vouches for it.
 *
 * `dkim` are all signatures with a result, `domain` that of `header.d`, else of `header.i`, else ''. `none` (not
 * signed) is no signature. Results are lower-case and of RFC 8601, 2.7; another word is null, and such a signature is
 * left out. Words that are not registered are for parties that agreed on them (2.7.7): Exchange's `bestguesspass` is
 * no pass, and Yahoo's `unknown` says nothing.
 */
export function readAuthentication(headers: readonly Header[], receiver: Receiver): Authentication {
  const results = headers.filter(isResultHeader);
  if (results.length === 0) return { ...NOTHING, dkim: [], trusted: false };
  const facts = receiverFacts(receiver);
  if (facts.isKnown) {
    const trusted = merge(statementsOfReceiver(findReceiverBlock(headers, facts), facts));
    if (trusted !== undefined) return { ...trusted, trusted: true };
  }
  return { ...(merge(topmostStatements(results)) ?? { ...NOTHING, dkim: [] }), trusted: false };
}

function isResultHeader({ key }: Header): boolean {
  return key === 'authentication-results' || key === 'arc-authentication-results' || key === 'received-spf';
}

function statementsOfReceiver({ above, below }: ReceiverBlock, receiver: ReceiverFacts): Statement[] {
  const own = [
    ...ofName(above, 'authentication-results').flatMap((header) => ownResults(header, receiver)),
    ...lastSealed(above).flatMap((statement) => statementOfProvider(statement, receiver)),
  ];
  // What is above is beyond doubt; only without it does it matter what is below.
  const unsure = own.length > 0 ? [] : ofName(below, 'authentication-results');
  const spf = [...above, ...below].filter(({ key }) => key === 'received-spf').slice(0, 1);
  return [
    ...own,
    ...unsure.flatMap((header) => ownResults(header, receiver)),
    ...spf
      .map(({ value }) => readReceivedSpf(value))
      .filter((statement) => isSpfOfProvider(statement, receiver)),
  ];
}

function ownResults(header: Header, receiver: ReceiverFacts): Statement[] {
  const statement = readResults(header);
  return receiver.isNamedId(statement.server) ? [statement] : statementOfProvider(statement, receiver);
}

function statementOfProvider(statement: Statement, receiver: ReceiverFacts): Statement[] {
  const server = receiver.serverOfProvider(statement.server);
  return server === undefined ? [] : [{ ...statement, server }];
}

/** Yahoo's Received-SPF names nobody: its place tells that it is Yahoo's. */
function isSpfOfProvider({ server }: Statement, receiver: ReceiverFacts): boolean {
  if (!receiver.isProviderKnown) return false;
  if (server === null) return true;
  return receiver.serverOfProvider(server) !== undefined || receiver.isProviderHost(server);
}

/** The topmost header that says something, with those of the same server that follow it at once. */
function topmostStatements(headers: readonly Header[]): Statement[] {
  const run: Statement[] = [];
  for (const header of ofName(headers, 'authentication-results')) {
    const statement = readResults(header);
    const [first] = run;
    if (first === undefined ? saysSomething(statement) : first.server === statement.server)
      run.push(statement);
    else if (first !== undefined) break;
  }
  if (run.length > 0) return run;
  const sealed = lastSealed(headers).filter(saysSomething);
  if (sealed.length > 0) return sealed;
  return ofName(headers, 'received-spf')
    .slice(0, 1)
    .map(({ value }) => readReceivedSpf(value));
}

function ofName(headers: readonly Header[], name: string): Header[] {
  const found: Header[] = [];
  for (const header of headers) {
    if (header.key === name) found.push(header);
    if (found.length === MAX_HEADERS) break;
  }
  return found;
}

function lastSealed(headers: readonly Header[]): Statement[] {
  const sealed = ofName(headers, 'arc-authentication-results').map(({ value }) =>
    parseAuthenticationHeader(value),
  );
  const highest = Math.max(...sealed.map(({ instance }) => instance ?? 0));
  return sealed
    .filter(({ instance }) => (instance ?? 0) === highest)
    .slice(0, 1)
    .map(toStatement);
}

/** Together, each method as the first has it that says something of it; undefined if none does. */
function merge(statements: readonly Statement[]): Statement | undefined {
  const [first, ...others] = statements.filter(saysSomething);
  if (first === undefined) return undefined;
  const merged = { ...first };
  for (const { spf, dkim, dmarc, arc } of others) {
    merged.spf ??= spf;
    merged.dmarc ??= dmarc;
    merged.arc ??= arc;
    if (merged.dkim.length === 0) merged.dkim = dkim;
  }
  return merged;
}

function saysSomething({ spf, dkim, dmarc, arc }: Statement): boolean {
  return spf !== null || dkim.length > 0 || dmarc !== null || arc !== null;
}

function readResults({ value }: Header): Statement {
  return toStatement(parseAuthenticationHeader(value));
}

/** Of a method that is there twice the first counts. */
function toStatement({ server, results }: AuthenticationHeader): Statement {
  const statement: Statement = { ...NOTHING, dkim: [], server: server === null ? null : nameOf(server) };
  for (const { method, result, properties } of results) {
    if (!RESULTS.has(result)) continue;
    if (method === 'spf') statement.spf ??= result;
    else if (method === 'dmarc') statement.dmarc ??= result;
    else if (method === 'arc') statement.arc ??= result;
    else if (method === 'dkim' && result !== 'none') {
      const { value: domain = '' } =
        properties.find(({ key }) => key === 'header.d') ??
        properties.find(({ key }) => key === 'header.i') ??
        {};
      statement.dkim.push({ domain: nameOf(domain.slice(domain.lastIndexOf('@') + 1)), result });
    }
  }
  return statement;
}

/**
 * RFC 7208, 9.1: a result, a comment that begins with the host's name, then `receiver=` and others. Gmail writes the
 * name in the comment alone.
 */
function readReceivedSpf(value: string): Statement {
  const [, word = '', name] = /^\s*([a-z]+)(?:\s+\(([a-z0-9.-]+):\s)?/i.exec(value.slice(0, 500)) ?? [];
  const [, receiver] = /\breceiver=([a-z0-9.-]+)/i.exec(value.slice(0, 4_000)) ?? [];
  const result = word.toLowerCase();
  const server = receiver ?? name ?? null;
  return {
    ...NOTHING,
    dkim: [],
    spf: RESULTS.has(result) ? result : null,
    server: server === null ? null : nameOf(server),
  };
}

function nameOf(name: string): string {
  return name.slice(0, LONGEST_NAME).toLowerCase();
}
