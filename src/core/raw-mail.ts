/**
 * What a source hands over: the bytes, and what only the source knows about them.
 *
 * `identity` decides the base of the dedupe key. The source says it, because the look of an id does not:
 * a hex string can be a Gmail id or anybody's.
 */
export type RawMail = {
  /** RFC 5322 bytes as the provider gave them; of a truncated mail, the header block alone. */
  bytes: Uint8Array;
  /** Only the header block is here. The whole may arrive later and completes the stored message. */
  truncated: boolean;
  identity: MailIdentity;
  /** The provider's own id, in its canonical form; null where the provider has none. */
  providerId: string | null;
  threadId: string | null;
  /** Gmail label ids (`INBOX`, `CATEGORY_PROMOTIONS`, `Label_7`); empty for sources without labels. */
  labels: readonly string[];
  /** IMAP folder path; null for sources without folders. */
  folder: string | null;
  /** The folder's special-use attribute, in any case (RFC 6154: `\Junk`, `\Sent`); null if the server tells none. */
  folderRole: string | null;
  /** When the provider received it; null if the source does not know. */
  internalDate: Date | null;
  /** The provider's own preview, plain text; used where the mail has no text of its own. */
  snippet: string | null;
};

export type MailIdentity =
  /** A Gmail message id, canonical: lower-case hex without leading zeros. */
  | { base: 'gmail'; id: string }
  /**
   * An IMAP EMAILID (RFC 8474, 5.1), as the server writes it. `scope` is what it is unique in, as the source says: the
   * server and the account, alike for every source that reads them.
   */
  | { base: 'emailid'; scope: string; id: string }
  /** Nothing but the mail itself tells: its Message-ID and body, or its bytes. */
  | { base: 'content' };
