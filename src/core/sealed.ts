import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { MailgressError } from './errors.ts';

const VERSION = 1;
const KEY_ID_BYTES = 4;
/** NIST SP 800-38D 8.2.2: random 96-bit nonces; far below 2^32 seals under one key here. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES;

type Key = { id: Buffer; key: Buffer };

/** Keys for secrets at rest. The first seals, every one opens: so a key is rotated. */
export type Keyring = {
  /**
   * AES-256-GCM. Layout: version (1), key id (4), nonce (12), ciphertext, tag (16).
   * `context` (the row's id and the column) is authenticated: a sealed value moved to another row will not open.
   */
  seal(plaintext: string, context: string): Buffer;
  /** @throws MailgressError `configuration` when no key of the ring sealed it, or it was moved or changed. */
  open(sealed: Uint8Array, context: string): string;
  /** Whether another key than the first sealed it, so that it should be sealed again. */
  isOutdated(sealed: Uint8Array): boolean;
};

/**
 * Derives one key per string with HKDF-SHA256 (RFC 5869), so that any long string serves as a key.
 *
 * @param strings at least one; newest first.
 */
export function createKeyring(strings: readonly string[]): Keyring {
  const keys = strings.map(deriveKey);
  const [current] = keys;
  if (current === undefined) throw new MailgressError('configuration', 'The keyring needs at least one key');

  return {
    seal(plaintext, context) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', current.key, nonce).setAAD(Buffer.from(context));
      const ciphertext = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
      return Buffer.concat([Buffer.of(VERSION), current.id, nonce, ciphertext, cipher.getAuthTag()]);
    },

    open(sealed, context) {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
      const id = keyIdOf(bytes);
      const key = keys.find((candidate) => candidate.id.equals(id));
      if (key === undefined || bytes[0] !== VERSION || bytes.length < HEADER_BYTES + TAG_BYTES) {
        throw new MailgressError(
          'configuration',
          `${context}: no key in MAILGRESS_SECRET_KEY opens this stored secret; add the key it was sealed with behind a comma`,
        );
      }
      const nonce = bytes.subarray(1 + KEY_ID_BYTES, HEADER_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', key.key, nonce, { authTagLength: TAG_BYTES })
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(-TAG_BYTES));
      try {
        return Buffer.concat([
          decipher.update(bytes.subarray(HEADER_BYTES, -TAG_BYTES)),
          decipher.final(),
        ]).toString('utf8');
      } catch (cause) {
        throw new MailgressError(
          'configuration',
          `${context}: the stored secret was changed or moved here from another row`,
          { cause },
        );
      }
    },

    isOutdated(sealed) {
      return !keyIdOf(sealed).equals(current.id);
    },
  };
}

function keyIdOf(sealed: Uint8Array): Buffer {
  return Buffer.from(sealed.subarray(1, 1 + KEY_ID_BYTES));
}

function deriveKey(string: string): Key {
  const key = Buffer.from(hkdfSync('sha256', string, 'mailgress', 'secrets at rest, v1', 32));
  return { id: createHash('sha256').update(key).digest().subarray(0, KEY_ID_BYTES), key };
}
