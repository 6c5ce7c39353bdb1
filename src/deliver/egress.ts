import { lookup as lookupInSystem } from 'node:dns/promises';
import { domainToASCII } from 'node:url';
import ipaddr from 'ipaddr.js';
import { MailgressError } from '../core/errors.ts';
import { type Address, isGlobal, isLoopback, parseAddress } from './address.ts';
import { createNameProbe } from './name-probe.ts';

export type ResolvedAddress = { address: string; family: number };

/** All addresses of a name, as `dns.promises.lookup(host, {all: true})` gives them. */
export type Lookup = (host: string) => Promise<ResolvedAddress[]>;

export type UrlCheck = { ok: true; url: URL } | { ok: false; reason: string };

/** The guard before every connection to a host that a user named. */
export type Egress = {
  /**
   * Judges a URL as far as that goes without a network: http or https, no credentials, no literal address and
   * no well-known name that is forbidden. A name that merely resolves to a forbidden address passes here and
   * fails when it is dialled. `reason` is a clause to show to the caller ("its scheme must be http or https").
   */
  checkUrl(url: string): UrlCheck;

  /**
   * The addresses a host may be dialled at, at least one, in the resolver's order. `host` is a name or an
   * address, IPv6 with or without brackets. Dial these and no others: asking the resolver again undoes the
   * check. Throws `egress_blocked` if any one of them is forbidden, and the resolver's own error (`syscall:
   * 'getaddrinfo'`) if there is none. Cannot be aborted, as getaddrinfo cannot: a caller with a deadline races
   * it.
   */
  resolveAllowed(host: string): Promise<ResolvedAddress[]>;

  /**
   * Whether a host may be talked to in clear text: it is allowed by its name, or all its addresses are allowed although they
   * are not on the public internet. Throws as `resolveAllowed`.
   */
  isTrusted(host: string): Promise<boolean>;

  /** As `resolveAllowed`, for clear text: also throws `egress_blocked` for a host that is not trusted, at these very addresses. */
  resolveTrusted(host: string): Promise<ResolvedAddress[]>;
};

/**
 * Names of the clouds' metadata services; they resolve to link-local, this says so before anything is stored.
 */
const METADATA_HOSTS = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'instance-data',
  'instance-data.ec2.internal',
]);

/** Names of this machine: RFC 6761, 6.3, and what Linux distributions put into /etc/hosts. */
const LOCAL_HOST = /^(?:.+\.)?localhost$|^localhost\.localdomain$|^ip6-(?:localhost|loopback)$/;

/**
 * The egress guard: what is not on the public internet (see `isGlobal`) is forbidden, unless allowed.
 *
 * `allow` holds CIDRs and addresses, allowing what lies in them, and host names, each allowing that very host
 * (no wildcards) wherever it resolves to. `allowLoopback` adds `127/8`, `::1` and the localhost names. Throws
 * `configuration`, with one fault for each entry that is none of these.
 */
export function createEgress(options: {
  allow: readonly string[];
  allowLoopback: boolean;
  lookup?: Lookup;
}): Egress {
  const { networks, hosts } = parseAllow(options.allow);
  const lookup = shareLookups(options.lookup ?? createSystemLookup());
  const isAllowed = (address: Address): boolean =>
    isGlobal(address) ||
    (options.allowLoopback && isLoopback(address)) ||
    networks.some((network) => isIn(address, network));
  const isLocalAllowed = [ipaddr.parse('127.0.0.1'), ipaddr.parse('::1')].some(isAllowed);
  const isNameForbidden = (host: string): boolean =>
    METADATA_HOSTS.has(host) || (!isLocalAllowed && LOCAL_HOST.test(host));

  const egress: Egress = {
    checkUrl(text) {
      const url = URL.parse(text);
      if (url === null) return { ok: false, reason: 'it is no absolute URL' };
      if (url.protocol !== 'http:' && url.protocol !== 'https:')
        return { ok: false, reason: 'its scheme must be http or https' };
      if (url.username !== '' || url.password !== '')
        return { ok: false, reason: 'it must not hold a user name or password' };
      const host = canonicalHost(url.hostname);
      const address = parseAddress(host);
      if (hosts.has(host) || (address ? isAllowed(address) : !isNameForbidden(host)))
        return { ok: true, url };
      return { ok: false, reason: `${url.hostname} is not reachable from here (MAILGRESS_EGRESS_ALLOW)` };
    },

    async resolveAllowed(text) {
      const host = canonicalHost(text);
      const literal = parseAddress(host);
      if (literal) {
        if (!isAllowed(literal)) throw blocked(text);
        return [{ address: host, family: host.includes(':') ? 6 : 4 }];
      }
      if (hosts.has(host)) return lookup(text);
      if (isNameForbidden(host)) throw blocked(text);
      const found = await lookup(text);
      // One forbidden address is enough: a name with a public and a private one is an attempt to slip through.
      for (const { address } of found) {
        const parsed = parseAddress(address);
        if (parsed === undefined || !isAllowed(parsed)) throw blocked(text);
      }
      return found;
    },

    async isTrusted(text) {
      return hosts.has(canonicalHost(text)) || areInside(await egress.resolveAllowed(text));
    },

    async resolveTrusted(text) {
      const found = await egress.resolveAllowed(text);
      if (hosts.has(canonicalHost(text)) || areInside(found)) return found;
      throw new MailgressError(
        'egress_blocked',
        `${text} may not be talked to in clear text: use tls or starttls, or name it in MAILGRESS_EGRESS_ALLOW`,
      );
    },
  };
  return egress;
}

/** getaddrinfo, for names of which DNS says something. */
function createSystemLookup(): Lookup {
  const probe = createNameProbe();
  return async (host) => {
    const family = await probe(host);
    return lookupInSystem(host, { all: true, family });
  };
}

function areInside(addresses: readonly ResolvedAddress[]): boolean {
  return addresses.every(({ address }) => {
    const parsed = parseAddress(address);
    return parsed !== undefined && !isGlobal(parsed);
  });
}

type Network = [Address, number];

function parseAllow(entries: readonly string[]): { networks: Network[]; hosts: Set<string> } {
  const networks: Network[] = [];
  const hosts = new Set<string>();
  const faults: { path: string; message: string }[] = [];
  for (const entry of entries) {
    const network = parseNetwork(entry);
    const host = canonicalHost(entry);
    if (network) networks.push(network);
    else if (/^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$/.test(host)) hosts.add(host);
    else
      faults.push({
        path: 'MAILGRESS_EGRESS_ALLOW',
        message: `"${entry}": expected a CIDR, an address or a host name without port or wildcard`,
      });
  }
  if (faults.length > 0)
    throw new MailgressError('configuration', faults.map((fault) => fault.message).join('; '), { faults });
  return { networks, hosts };
}

/** A CIDR, or an address as the network of itself; undefined for anything else. */
function parseNetwork(entry: string): Network | undefined {
  const [text = '', bits, ...rest] = entry.split('/');
  const address = parseAddress(canonicalHost(text));
  if (address === undefined || rest.length > 0) return undefined;
  const width = address instanceof ipaddr.IPv4 ? 32 : 128;
  if (bits === undefined) return [address, width];
  return /^[0-9]{1,3}$/.test(bits) && Number(bits) <= width ? [address, Number(bits)] : undefined;
}

function isIn(address: Address, [network, bits]: Network): boolean {
  return address.kind() === network.kind() && address.match(network, bits);
}

/**
 * As the URL parser would write it: lower case, ASCII, `0x7f.1` as `127.0.0.1`; and without the brackets of
 * IPv6 and the dot of a rooted name.
 */
function canonicalHost(host: string): string {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  // domainToASCII would cut "allowed.example/x" after the host, and answers '' for what is no domain (IPv6).
  const ascii = /[/\\?#@:%\s]/.test(bare) ? '' : domainToASCII(bare);
  return (ascii || bare.toLowerCase()).replace(/\.$/, '');
}

/**
 * Names the host and nothing it resolved to: the message reaches tenants, and internal addresses are not
 * theirs.
 */
function blocked(host: string): MailgressError {
  return new MailgressError(
    'egress_blocked',
    `${host} is at an address that may not be reached from here (MAILGRESS_EGRESS_ALLOW)`,
  );
}

/**
 * Lookups of one name under way at once share one call: of libuv's four threads getaddrinfo gets two, each for
 * as long as it takes, and 32 connections to a name whose DNS hangs would stop every other lookup of the
 * process. Nothing is kept once it is answered.
 */
function shareLookups(lookup: Lookup): Lookup {
  const underWay = new Map<string, Promise<ResolvedAddress[]>>();
  return (host) => {
    const shared = underWay.get(host);
    if (shared) return shared;
    const found = lookup(host)
      .then((addresses) => (addresses.length > 0 ? addresses : Promise.reject(notFound(host))))
      .finally(() => underWay.delete(host));
    underWay.set(host, found);
    return found;
  };
}

/** As getaddrinfo says it. */
function notFound(host: string): Error {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), {
    code: 'ENOTFOUND',
    syscall: 'getaddrinfo',
  });
}
