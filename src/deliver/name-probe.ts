import { CANCELLED, TIMEOUT } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';

const TRY_MS = 1500;
const TRIES = 2;

/**
 * Asks DNS for a name without holding a thread, before getaddrinfo is asked, which holds one of the two that there are for it
 * until an answer comes: names whose DNS hangs would stop every other lookup of the process. What DNS says is of no
 * matter here: the hosts file and search domains are getaddrinfo's. A name of the hosts file needs no DNS.
 *
 * @param servers asked for at the start and after each silence; undefined: those of the system.
 * @returns resolves once DNS has said something of the name, with the family that getaddrinfo is to be asked for; 0: both. There
 *   are name servers that never answer AAAA, and getaddrinfo would wait for them. Throws as getaddrinfo does when nothing comes.
 */
export function createNameProbe({
  servers = () => undefined,
  tryMs = TRY_MS,
  hostsFile = '/etc/hosts',
}: {
  servers?: () => readonly string[] | undefined;
  tryMs?: number;
  hostsFile?: string;
} = {}): (host: string) => Promise<0 | 4 | 6> {
  let resolver = createResolver(servers(), tryMs);
  return async (host) => {
    // A name of one label is no name of the public DNS.
    if (!host.includes('.')) return 0;
    const [v4, v6] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    if (!isSilence(v4) && !isSilence(v6)) return 0;
    // It keeps to the servers that it began with, and the machine may be in another network by now.
    resolver = createResolver(servers(), tryMs);
    if (v4.status === 'fulfilled') return 4;
    if (v6.status === 'fulfilled') return 6;
    if (await isNamedIn(hostsFile, host)) return 0;
    throw silent(host);
  };
}

/** One that cannot be read names nobody. */
async function isNamedIn(hostsFile: string, host: string): Promise<boolean> {
  const text = await readFile(hostsFile, 'utf8').catch(() => '');
  const lines = text.split('\n').map((line) => line.replace(/#.*/, '').toLowerCase().split(/\s+/));
  return lines.some(([_address, ...names]) => names.includes(host.toLowerCase()));
}

function createResolver(servers: readonly string[] | undefined, tryMs: number): Resolver {
  const resolver = new Resolver({ timeout: tryMs, tries: TRIES, maxTimeout: tryMs });
  if (servers !== undefined) resolver.setServers(servers);
  return resolver;
}

function isSilence(answer: PromiseSettledResult<unknown>): boolean {
  return answer.status === 'rejected' && (answer.reason.code === TIMEOUT || answer.reason.code === CANCELLED);
}

/** As getaddrinfo says it. */
function silent(host: string): Error {
  return Object.assign(new Error(`getaddrinfo EAI_AGAIN ${host}`), {
    code: 'EAI_AGAIN',
    syscall: 'getaddrinfo',
    hostname: host,
  });
}
