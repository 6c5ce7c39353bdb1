import { randomFillSync } from 'node:crypto';

/** The prefix tells what an id names; behind it stand the 32 hex digits of a UUIDv7 (RFC 9562). */
export type IdPrefix =
  | 'mbx'
  | 'src'
  | 'msg'
  | 'evt'
  | 'ep'
  | 'dlv'
  | 'att'
  | 'key'
  | 'prb'
  | 'run'
  | 'gap'
  | 'rpl'
  | 'stb';

export type Id<P extends IdPrefix = IdPrefix> = `${P}_${string}`;

const pool = Buffer.allocUnsafe(4096);
let poolOffset = pool.length;

/** 10 random bytes; drawn from the system in pages, since a draw costs more than all else in an id. */
function takeRandom(): number {
  if (poolOffset + 10 > pool.length) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  const offset = poolOffset;
  poolOffset += 10;
  return offset;
}

/** A new id. Ids made in different milliseconds sort by time; within one they do not (RFC 9562, 5.7). */
export function createId<P extends IdPrefix>(prefix: P, nowMs: number = Date.now()): Id<P> {
  const offset = takeRandom();
  const time = Math.floor(nowMs).toString(16).padStart(12, '0');
  const versionAndRandA = ((pool.readUInt16BE(offset) & 0x0fff) | 0x7000).toString(16);
  const variantAndRandB = ((pool.readUInt16BE(offset + 2) & 0x3fff) | 0x8000).toString(16);
  return `${prefix}_${time}${versionAndRandA}${variantAndRandB}${pool.toString('hex', offset + 4, offset + 10)}`;
}

/** The UUID before all of ids made at that time or later, and after all made earlier: hex without dashes. */
export function firstUuidAt(at: Date): string {
  return Math.max(0, at.getTime()).toString(16).padStart(12, '0').padEnd(32, '0');
}

/** Whether `text` is a well-formed id of this kind (lower-case hex, as we write it). */
export function isId<P extends IdPrefix>(prefix: P, text: string): text is Id<P> {
  return text.startsWith(`${prefix}_`) && /^[0-9a-f]{32}$/.test(text.slice(prefix.length + 1));
}

/** The UUID inside an id, as PostgreSQL takes it (hex without dashes). */
export function uuidOf(id: Id): string {
  return id.slice(id.indexOf('_') + 1);
}

/** The id of a UUID as PostgreSQL prints it. */
export function idOf<P extends IdPrefix>(prefix: P, uuid: string): Id<P> {
  return `${prefix}_${uuid.replaceAll('-', '')}`;
}

/** A message and its `message.received` event share one UUID. */
export function eventIdOf(messageId: Id<'msg'>): Id<'evt'> {
  return `evt_${uuidOf(messageId)}`;
}
