import type { CertificateKind } from './certificates.ts';
import type { TokenBook } from './token-book.ts';

/** How a test's Dovecot differs from the usual one. */
export type DovecotOptions = {
  /** Everybody's, but for `setPassword`. */
  password?: string;
  /** Takes XOAUTH2 and OAUTHBEARER too, for the tokens in this book. */
  tokens?: TokenBook;
  /*
   * Capabilities that are left out of what it advertises. It would obey the commands all the same: the fault proxy's
   * `refuseCommand` has them refused.
   */
  idle?: false;
  /** CONDSTORE, QRESYNC and ENABLE. */
  condstore?: false;
  listStatus?: false;
  /** Neither the capability nor the roles of folders. */
  specialUse?: false;
  hide?: readonly string[];
  /** The whole list after login, instead. */
  capability?: string;
  /** Folders every mailbox has beside INBOX, with their role or ''. */
  folders?: Record<string, string>;
  certificate?: CertificateKind;
  /** LOGINDISABLED until STARTTLS, for those who connect to the handle's `host`. */
  requireTls?: boolean;
  /**
   * How many connections one `imap` process serves. One, as Dovecot does by default, costs a process and an inotify
   * instance each: take 200 for a thousand mailboxes.
   */
  clientsPerProcess?: number;
  /** How many connections a user may have from one address; no limit unless given. */
  maxConnectionsPerUser?: number;
  /** How often an idle session looks by itself, where inotify does not tell it. 30. */
  idleCheckSeconds?: number;
  /** How long a wrong password waits for its answer. 0; Dovecot's own is 2. */
  authFailureDelaySeconds?: number;
  authCache?: boolean;
  /** More lines of dovecot.conf. */
  extra?: string;
};
