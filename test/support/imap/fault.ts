/** What goes wrong on a connection. One at a time; each begins at once or as said. */
export type Fault =
  /** Nothing does. Ends a black hole and a slow line. */
  | { kind: 'pass' }
  /** Nothing is heard any more, in either direction, and no connection ends. */
  | { kind: 'black-hole' }
  /**
   * The connection ends, by FIN or by RST: now, or when so many more bytes have come from the server, which may be in the
   * midst of a line.
   */
  | { kind: 'cut'; how: 'end' | 'reset'; afterServerBytes?: number }
  /** Each piece waits `delayMs` in both directions; the server's bytes come no faster than that. */
  | { kind: 'slow'; bytesPerSecond?: number; delayMs?: number }
  /** The server's side has gone, and the client's stays as it is: what it sends leads nowhere. */
  | { kind: 'half-open' }
  /** Puts bytes among the server's, once: where a response ends, or after the next byte. */
  | { kind: 'inject'; bytes: string | Uint8Array; at: 'response-end' | 'anywhere' }
  /** Says `* BYE` where a response ends, and closes. */
  | { kind: 'bye'; text?: string }
  /** A literal of 999,999,999 bytes is begun where a response ends, or a line, and a little comes every `everyMs`. */
  | { kind: 'endless-literal'; bytes?: number; everyMs?: number }
  | { kind: 'endless-line'; bytes?: number; everyMs?: number }
  /** What the server says comes later, or never: the greeting of a new connection. */
  | { kind: 'greeting'; afterMs: number | 'never' };

export type FaultKind = Fault['kind'];
