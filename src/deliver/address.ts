import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** The addresses a client on the internet may reach: IANA has given out no other IPv6 unicast space. */
const GLOBAL_UNICAST_V6 = ipaddr.IPv6.parseCIDR('2000::/3');

/** NAT64's well-known prefix (RFC 6052): the last 32 bits are the IPv4 address dialled in the end. */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');

/** Azure's platform address, which answers inside every virtual machine there although it looks public. */
const AZURE_PLATFORM = '168.63.129.16';

/**
 * The address a text stands for, or undefined if it is a name. What the kernel dials is what counts: a
 * v4-mapped IPv6 address (`::ffff:127.0.0.1`) comes back as its IPv4 address, a zone (`%eth0`) is left out.
 * Only the notations of `net.isIP` are addresses here; a URL has normalised `0x7f.1` before, a lookup does for
 * a host.
 */
export function parseAddress(text: string): Address | undefined {
  if (isIP(text) === 0) return undefined;
  const bare = text.replace(/%.*$/, '');
  // ipaddr.js takes the old v4-compatible `::8.8.8.8` for the v4-mapped `::ffff:8.8.8.8`.
  const address = ipaddr.parse(bare.replace(/^::(?=\d+\.)/, '::0:'));
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/**
 * Whether an address belongs to the public internet: not private, loopback, link-local (where clouds keep their
 * metadata), carrier-grade NAT, `0/8`, reserved, documentation, benchmarking, multicast or broadcast; of IPv6
 * not unique-local, site-local, 6to4, Teredo or v4-compatible either. NAT64 is judged by the IPv4 address
 * inside. Source: the IANA special-purpose address registries, as `ipaddr.js` holds them.
 */
export function isGlobal(address: Address): boolean {
  if (address instanceof ipaddr.IPv4)
    return address.range() === 'unicast' && address.toString() !== AZURE_PLATFORM;
  if (address.match(NAT64)) return isGlobal(new ipaddr.IPv4(address.toByteArray().slice(-4)));
  return address.range() === 'unicast' && address.match(GLOBAL_UNICAST_V6);
}

/** Whether an address is this machine, as `127.0.0.1` and `::1` are. */
export function isLoopback(address: Address): boolean {
  return address.range() === 'loopback';
}
