import type { MailIdentity } from './raw-mail.ts';

/** Who takes the mail of a mailbox in. What is known of the provider is in the table below. */
export type Receiver = {
  provider: ReceiverName | null;
  /** The authserv-ids of the mailbox's own servers, as they write them; the names of its hosts may be below. */
  servers: readonly string[];
};

const RECEIVER_NAMES = ['gmail', 'microsoft', 'yahoo', 'icloud', 'fastmail', 'zoho'] as const;
export type ReceiverName = (typeof RECEIVER_NAMES)[number];

/** Nobody is trusted. */
export const UNKNOWN_RECEIVER: Receiver = { provider: null, servers: [] };

/** The receiver of one mail: what has a Gmail id lies at Gmail, whatever else is known of the mailbox. */
export function receiverOf(identity: MailIdentity, receiver: Receiver): Receiver {
  return identity.base === 'gmail' ? { ...receiver, provider: 'gmail' } : receiver;
}

/**
 * The receiver of a mailbox that names these servers (authserv-ids). One of a known provider stands for the provider,
 * whose rules tell its results from forged ones: it need not delete what comes with its name. Of several providers the
 * first counts, and the servers of the others not at all.
 */
export function receiverOfServers(servers: readonly string[]): Receiver {
  const named = servers.map((server) => ({ server, provider: providerOf(server) }));
  return {
    provider: named.find(({ provider }) => provider !== null)?.provider ?? null,
    servers: named.flatMap(({ server, provider }) => (provider === null ? [server] : [])),
  };
}

function providerOf(server: string): ReceiverName | null {
  const name = server.toLowerCase();
  return RECEIVER_NAMES.find((one) => isOfReceiver(name, RECEIVERS[one])) ?? null;
}

function isOfReceiver(name: string, { servers, hosts }: KnownReceiver): boolean {
  return isBelowAny(name, servers) || isBelowAny(name, hosts);
}

type KnownReceiver = {
  /** What it writes as authserv-id; a name stands for what is below it too. */
  servers: readonly string[];
  /** The names of its hosts, as they stand in Received. */
  hosts: readonly string[];
  /** Addresses in public ranges that its hosts use among themselves. */
  addresses?: RegExp;
  /** The authserv-id it has, where it writes none. */
  anonymousServer?: string;
  /** It writes its results below its own Received: first a Received-SPF of this name, then the header. */
  nameInSpfBelow?: string;
};

const ZOHO_ZONES = ['com', 'eu', 'in', 'jp', 'sa', 'ca', 'com.au', 'com.cn'];

/**
 * Which servers a provider's results come from, as its mails show it.
 *
 * - Microsoft: Exchange Online writes Authentication-Results without an authserv-id, its ARC header as
 *   mx.microsoft.com (https://learn.microsoft.com/defender-office-365/message-headers-eop-mdo). Its hosts speak to one
 *   another over IPv6 addresses of its own; 2a01:111:f403 is where the mail of its customers comes from.
 * - Yahoo, and AOL with it, writes the host's name: atlas101.free.mail.bf1.yahoo.com.
 * - iCloud has a name for each method: spf.icloud.com, dkim-verifier.icloud.com, dmarc.icloud.com.
 * - Fastmail: mx1.messagingengine.com. Zoho: mx.zohomail.com, with the zone of the data centre.
 */
const RECEIVERS: Readonly<Record<ReceiverName, KnownReceiver>> = {
  gmail: { servers: ['mx.google.com'], hosts: ['google.com'], nameInSpfBelow: 'google.com' },
  microsoft: {
    servers: ['mx.microsoft.com', 'protection.outlook.com'],
    hosts: ['outlook.com', 'office365.com', 'exchangelabs.com'],
    addresses: /^(?:2603:10[0-9a-f]{2}|2a01:111:(?!f403:)[0-9a-f]{1,4}):/,
    anonymousServer: 'mx.microsoft.com',
  },
  yahoo: { servers: ['yahoo.com', 'aol.com'], hosts: ['yahoo.com', 'aol.com'] },
  icloud: { servers: ['icloud.com'], hosts: ['icloud.com', 'me.com', 'mac.com', 'apple.com'] },
  fastmail: { servers: ['messagingengine.com'], hosts: ['messagingengine.com', 'fastmail.com'] },
  zoho: {
    servers: ZOHO_ZONES.flatMap((zone) => [`mx.zohomail.${zone}`, `mx.zoho.${zone}`]),
    hosts: ZOHO_ZONES.flatMap((zone) => [`zohomail.${zone}`, `zoho.${zone}`]),
  },
};

/** What is known of the provider and the mailbox's own servers, together. */
export type ReceiverFacts = {
  isKnown: boolean;
  isProviderKnown: boolean;
  /** The authserv-id of a header of the provider's, undefined if it is another's. */
  serverOfProvider: (server: string | null) => string | undefined;
  /** Whether this is the authserv-id of a server that the mailbox names; what is below it is not. */
  isNamedId: (server: string | null) => boolean;
  /** Whether a host of this name is the receiver's; null if no host is known. */
  isOwnHost: (name: string) => boolean | null;
  isProviderHost: (name: string) => boolean;
  isOwnAddress: (address: string) => boolean;
  /** Whether a host of this name is a named server, or below one. */
  isNamedHost: (name: string) => boolean;
  nameInSpfBelow: string | null;
};

export function receiverFacts({ provider, servers }: Receiver): ReceiverFacts {
  const known = provider === null ? undefined : RECEIVERS[provider];
  const ids = new Set(servers.map((server) => server.toLowerCase()));
  const isNamedHost = (name: string) => isBelowAny(name, servers);
  const isProviderHost = (name: string) => isBelowAny(name, known?.hosts ?? []);
  return {
    isKnown: known !== undefined || servers.length > 0,
    isProviderKnown: known !== undefined,
    serverOfProvider: (server) => {
      if (server === null) return known?.anonymousServer;
      return isBelowAny(server, known?.servers ?? []) ? server : undefined;
    },
    isNamedId: (server) => server !== null && ids.has(server),
    isOwnHost: (name) => (known === undefined ? null : isProviderHost(name) || isNamedHost(name)),
    isProviderHost,
    isOwnAddress: (address) => known?.addresses?.test(address) ?? false,
    isNamedHost,
    nameInSpfBelow: known?.nameInSpfBelow ?? null,
  };
}

function isBelowAny(name: string, zones: readonly string[]): boolean {
  return zones.some((zone) => {
    const lower = zone.toLowerCase();
    return name === lower || name.endsWith(`.${lower}`);
  });
}
