import { Socket } from 'node:net';

/**
 * A socket whose end the driver survives.
 *
 * At 'close' postgres 3.4.9 lets go of its socket, and what is written to that connection afterwards goes to null in a
 * timer of its own: an uncaught exception, which ends the process (porsager/postgres #1154, #1208). Or it is kept, for
 * the next connection to trip over (see `createPool`).
 *
 * So an end is always an error here, what is written after it goes nowhere, and the driver hears of no 'close': `onOver`
 * is called, and must throw the client away. With TLS the driver has a socket of its own around this one; that hears
 * of the 'close', but its client is thrown away as well.
 */
export class DriverSocket extends Socket {
  readonly #onOver: () => void;
  #isFailed = false;
  #isEndedByUs = false;

  constructor(onOver: () => void) {
    super();
    this.#onOver = onOver;
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'error') this.#isFailed = true;
    if (event !== 'close' || this.#isEndedByUs) return super.emit(event as string, ...args);
    if (!this.#isFailed && this.listenerCount('error') > 0) this.emit('error', closedByServer());
    this.#isFailed = true;
    this.#onOver();
    return true;
  }

  override write(chunk: Uint8Array | string, ...rest: []): boolean {
    return this.#isFailed || super.write(chunk, ...rest);
  }

  override end(...args: []): this {
    // Otherwise it is Node's answer to the end of the other side.
    if (!this.readableEnded) this.#isEndedByUs = true;
    return super.end(...args);
  }
}

function closedByServer(): Error {
  return Object.assign(new Error('the server closed the connection'), { code: 'CONNECTION_CLOSED' });
}
