import { createSocket } from 'node:dgram';
import { once } from 'node:events';

export type SrvAnswer = { priority?: number; weight?: number; port: number; target: string };

/** A name server that knows SRV records, and addresses. */
export type NameServer = AsyncDisposable & {
  /** As `dns.setServers` takes it. */
  address: string;
  /** Names that were asked for, in lower case. */
  asked: string[];
  /** By name, in lower case; what is not here does not exist. `silence`: nothing is answered any more. */
  records: Map<string, readonly SrvAnswer[]>;
  /** The IPv4 address of a name, in lower case. */
  addresses: Map<string, string>;
  /** `no-aaaa`: of IPv6 addresses alone it says nothing. */
  behave(how: 'answer' | 'fail' | 'silence' | 'no-aaaa'): void;
};

const A = 1;
const AAAA = 28;
const SRV = 33;
const NAME_ERROR = 3;
const SERVER_FAILURE = 2;

/** Answers on a port of its own (RFC 1035, RFC 2782). */
export async function startNameServer(): Promise<NameServer> {
  const records: NameServer['records'] = new Map();
  const addresses: NameServer['addresses'] = new Map();
  const asked: string[] = [];
  let how: Parameters<NameServer['behave']>[0] = 'answer';
  const socket = createSocket('udp4', (query, from) => {
    const { name, end } = readName(query);
    asked.push(name);
    const type = query.readUInt16BE(end);
    if (how === 'silence' || (how === 'no-aaaa' && type === AAAA)) return;
    const address = type === A ? addresses.get(name) : undefined;
    const known =
      address === undefined ? (records.get(name) ?? []).map(answerOf) : [addressAnswerOf(address)];
    const found = how === 'fail' ? [] : known;
    const code = how === 'fail' ? SERVER_FAILURE : found.length === 0 ? NAME_ERROR : 0;
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | code, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(found.length, 6);
    // The question as it came, without what EDNS adds.
    socket.send(Buffer.concat([header, query.subarray(12, end + 4), ...found]), from.port);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked,
    records,
    addresses,
    behave(changed) {
      how = changed;
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, 'close');
    },
  };
}

function readName(query: Buffer): { name: string; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function addressAnswerOf(address: string): Buffer {
  const fixed = Buffer.alloc(12);
  // The name of the question, by a pointer to it.
  fixed.writeUInt16BE(0xc00c, 0);
  fixed.writeUInt16BE(A, 2);
  fixed.writeUInt16BE(1, 4);
  fixed.writeUInt32BE(60, 6);
  fixed.writeUInt16BE(4, 10);
  return Buffer.concat([fixed, Buffer.from(address.split('.').map(Number))]);
}

function answerOf({ priority = 0, weight = 0, port, target }: SrvAnswer): Buffer {
  const labels = target
    .split('.')
    .map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`));
  const host = Buffer.concat([...labels, Buffer.from([0])]);
  const fixed = Buffer.alloc(18);
  // The name of the question, by a pointer to it.
  fixed.writeUInt16BE(0xc00c, 0);
  fixed.writeUInt16BE(SRV, 2);
  fixed.writeUInt16BE(1, 4);
  fixed.writeUInt32BE(60, 6);
  fixed.writeUInt16BE(6 + host.length, 10);
  fixed.writeUInt16BE(priority, 12);
  fixed.writeUInt16BE(weight, 14);
  fixed.writeUInt16BE(port, 16);
  return Buffer.concat([fixed, host]);
}
