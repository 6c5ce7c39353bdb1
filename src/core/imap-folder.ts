/*
 * How far a folder has been read. UIDs count under one UIDVALIDITY alone (RFC 9051, 2.3.1.1).
 */

/** Of a folder, as it is kept. */
export type FolderCursor = {
  path: string;
  /** Its special use, such as `\Junk` (RFC 6154). */
  role: string | null;
  uidValidity: number;
  /** The last UID that has been passed. */
  uid: number;
  /** HIGHESTMODSEQ when it was last read; null: not told. */
  modSeq: string | null;
  readAt: Date;
  /** So often in a row it could not be opened. */
  refusals: number;
  /** So often in a row a connection ended while the mails behind it were read. */
  strikes: number;
};

/** A mail that the cursor passes without being stored. */
export type PassedMail = {
  providerId: string;
  status: 'pending' | 'missing' | 'failed';
  error: string;
  key: Uint8Array | null;
  dueInMs: number;
};

/** A cursor moves behind what was read. */
export type FolderPage = {
  path: string;
  uidValidity: number;
  from: number;
  to: number;
  passed: readonly PassedMail[];
  /** HIGHESTMODSEQ before the page was read; null: not told. */
  modSeq: string | null;
};

/** A folder that is read from now on, behind `uid`. */
export type NewFolder = { path: string; role: string | null; uidValidity: number; uid: number };

/** A cursor moves to where it cannot be read to. */
export type FolderJump = {
  path: string;
  reason: 'uidvalidity_changed' | 'state_lost' | 'standby';
  from: { uidValidity: number; uid: number };
  to: { uidValidity: number; uid: number };
  /** Mail received from then on is listed again; null: nothing has to be. */
  since: Date | null;
  /** What stands for each end in the gap and the stubs. */
  fromPlace: string;
  toPlace: string;
};
