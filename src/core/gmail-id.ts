import { MailgressError } from './errors.ts';

/**
 * A Gmail message id in its one canonical form: hex, lower case, without leading zeros. Gmail's API writes it so;
 * URLs and exports of the same id do not always.
 *
 * What is not all hex digits is no id of Gmail's but of an emulator or a test (`msg_abc`) and stays as it is. Two
 * such ids that differ in case or leading zeros alone would count as one if they happened to be hex.
 */
export function canonicalGmailId(id: string): string {
  if (!/^[0-9a-f]+$/i.test(id)) return id;
  return id.toLowerCase().replace(/^0+(?=.)/, '');
}

/**
 * The canonical Gmail id of an X-GM-MSGID or X-GM-THRID, which IMAP gives in decimal: an unsigned 64-bit number, more
 * than a double holds (https://developers.google.com/workspace/gmail/imap/imap-extensions).
 *
 * @throws MailgressError `bad_request` for anything but 1 to 20 digits.
 */
export function gmailIdFromDecimal(decimal: string): string {
  if (!/^\d{1,20}$/.test(decimal)) {
    throw new MailgressError('bad_request', `X-GM-MSGID ${JSON.stringify(decimal)}: expected 1 to 20 digits`);
  }
  return BigInt(decimal).toString(16);
}
