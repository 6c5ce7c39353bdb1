import { CANCELLED, TIMEOUT } from 'node:dns';
import { Resolver } from 'node:dns/promises';

const TRY_MS = 1500;
const TRIES = 2;

/**
 * Asks DNS for a name without holding a thread, before getaddrinfo is asked, which holds one of the two that there are for it
 * until an answer comes: names whose DNS hangs would stop every other lookup of the process. What DNS says is of no
 * matter here: the hosts file and search domains are getaddrinfo's.
 *
 * @param servers undefined: those of the system.
 * @returns resolves once DNS has said something of the name. Throws as getaddrinfo does when nothing comes.
 */
export function createNameProbe({
  servers,
  tryMs = TRY_MS,
}: {
  servers?: readonly string[];
  tryMs?: number;
} = {}): (host: string) => Promise<void> {
  const resolver = new Resolver({ timeout: tryMs, tries: TRIES, maxTimeout: tryMs });
  if (servers !== undefined) resolver.setServers(servers);
  return async (host) => {
    // A name of one label is no name of the public DNS.
    if (!host.includes('.')) return;
    const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    if (answers.some((answer) => answer.status === 'rejected' && isSilence(answer.reason)))
      throw silent(host);
  };
}

function isSilence(error: { code?: unknown }): boolean {
  return error.code === TIMEOUT || error.code === CANCELLED;
}

/** As getaddrinfo says it. */
function silent(host: string): Error {
  return Object.assign(new Error(`getaddrinfo EAI_AGAIN ${host}`), {
    code: 'EAI_AGAIN',
    syscall: 'getaddrinfo',
    hostname: host,
  });
}
