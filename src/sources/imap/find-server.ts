import { Resolver } from 'node:dns/promises';
import { domainToASCII } from 'node:url';

export type SrvRecord = { name: string; port: number; priority: number; weight: number };

export type FoundServer = { host: string; port: number; security: 'tls' | 'starttls' };

export type ResolveSrv = (name: string) => Promise<readonly SrvRecord[]>;

/** Somebody waits: what c-ares does by itself takes a silent name server for 40 s and more. */
const LOOKUP = { timeout: 2000, tries: 2 };

/** @param servers undefined: those of the system. */
export function createSrvResolver(servers?: readonly string[]): ResolveSrv {
  const resolver = new Resolver(LOOKUP);
  if (servers !== undefined) resolver.setServers([...servers]);
  return (name) => resolver.resolveSrv(name);
}

/** What a resolver answers when there is no such record, or no such name. */
const NONE = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * The IMAP server that the domain of an address names in DNS; undefined if it names none or the address has no domain.
 * TLS from the first byte before STARTTLS, whatever the priorities (RFC 8314, 3 and 5.1). Among records of one service
 * the lowest priority, there the greatest weight: one account needs no share of the load.
 *
 * DNS is seldom signed: whoever forges an answer names a host of their own, with a valid certificate. So a host outside
 * of the domain is to be shown to a person before a password goes there (RFC 6186, 6).
 *
 * @param resolveSrv as `node:dns/promises` has it.
 * @throws what `resolveSrv` throws but "there is none": DNS may be away.
 *
 * Source: RFC 6186, 3.2 and 3.4.
 */
export async function findImapServer(
  address: string,
  resolveSrv: ResolveSrv,
): Promise<FoundServer | undefined> {
  const at = address.lastIndexOf('@');
  const domain = at < 0 ? '' : findAsciiDomain(address.slice(at + 1));
  if (domain === '') return undefined;
  const tls = await findService(`_imaps._tcp.${domain}`, resolveSrv);
  if (tls !== undefined) return { ...tls, security: 'tls' };
  const plain = await findService(`_imap._tcp.${domain}`, resolveSrv);
  return plain === undefined ? undefined : { ...plain, security: 'starttls' };
}

/**
 * Whether a found host is of the address's own domain. That of the domain above it is not: `co.uk` is above `example.co.uk`, and
 * anybody's.
 */
export function isOfDomain(host: string, address: string): boolean {
  const domain = findAsciiDomain(address.slice(address.lastIndexOf('@') + 1));
  return domain !== '' && (host === domain || host.endsWith(`.${domain}`));
}

/** Empty if it is none. Checked first: domainToASCII takes `example.com/path` for `example.com`. */
function findAsciiDomain(domain: string): string {
  return /^[^\s/\\?#:@[\]]+$/.test(domain) ? domainToASCII(domain).replace(/\.$/, '') : '';
}

async function findService(
  name: string,
  resolveSrv: ResolveSrv,
): Promise<{ host: string; port: number } | undefined> {
  const records = await resolveSrv(name).catch((error: unknown): readonly SrvRecord[] => {
    if (error instanceof Error && 'code' in error && NONE.has(String(error.code))) return [];
    throw error;
  });
  const [best] = records
    .map((record) => ({ ...record, host: record.name.toLowerCase().replace(/\.$/, '') }))
    .filter(({ host, port }) => /^[a-z0-9._-]+$/.test(host) && port > 0)
    .sort((a, b) => a.priority - b.priority || b.weight - a.weight);
  // The root as target says that the service is not offered; Node answers it as an empty name.
  return best && { host: best.host, port: best.port };
}
