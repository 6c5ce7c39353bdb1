import { isIP, type LookupFunction, type Socket } from 'node:net';
import type { buildConnector as undici } from 'undici';
import type { Egress } from './egress.ts';
import { buildConnector } from './undici.ts';

/**
 * undici's connector behind the egress guard. A name is resolved once, every address is judged, and the
 * connection goes to one of these; Host header, SNI and certificate still go by the name.
 *
 * Fails with `egress_blocked`, the resolver's error, or what node's sockets fail with; after `timeoutMs` for
 * lookup, TCP and TLS together (undici's coarse timers: up to a second late). `onConnect` sees each socket
 * before it is used.
 */
export function createConnector(
  egress: Egress,
  options: { timeoutMs: number; ca?: string | undefined; onConnect?: (socket: Socket) => void },
): undici.connector {
  // The hook, rather than a lookup of our own beforehand, because node then tries several addresses side by
  // side (RFC 8305): a consumer with a dead IPv6 address is reached over IPv4 within the deadline.
  const lookup: LookupFunction = (host, { all }, callback) => {
    egress.resolveAllowed(host).then(
      (addresses) => {
        const [first] = addresses;
        if (all || first === undefined) callback(null, addresses);
        else callback(null, first.address, first.family);
      },
      (error) => callback(error, []),
    );
  };
  const connect = buildConnector({
    lookup,
    timeout: options.timeoutMs,
    allowH2: false,
    autoSelectFamily: true,
    // Node's 250 ms gives up an address on the other side of the world before it can answer.
    autoSelectFamilyAttemptTimeout: 1000,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });
  const dial: undici.connector = (target, callback) =>
    connect(target, (...outcome) => {
      if (outcome[1]) options.onConnect?.(outcome[1]);
      callback(...outcome);
    });
  return (target, callback) => {
    if (isIP(target.hostname) === 0) return dial(target, callback);
    // node skips the lookup hook for a literal address, so it would be dialled unjudged.
    egress.resolveAllowed(target.hostname).then(
      () => dial(target, callback),
      (error) => callback(error, null),
    );
  };
}
