import { Socket } from 'node:net';

/** Turns of the event loop in which all who wait for an answer hear of the end, and react to it. */
const LINGER_TURNS = 20;

/**
 * A socket whose end the driver survives.
 *
 * At 'close' postgres 3.4.9 lets go of its socket, and what is written to that connection afterwards goes to null in a
 * timer of its own: an uncaught exception, which ends the process (porsager/postgres #1154, #1208). Or the timer is
 * cleared but not forgotten, and the connection never writes again, whatever it is connected to
 * (LanternOps/breeze #3225). A statement begun between 'error' and 'close' is never answered.
 *
 * So an end is an error here, a write after it fails as what was written before it does, and 'close' comes when all
 * that is over. With TLS the driver has a socket of its own around this one, and is not helped.
 */
export class DriverSocket extends Socket {
  #isOver = false;
  #isEndedByUs = false;

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'error') this.#isOver = true;
    if (event !== 'close' || this.#isEndedByUs) return super.emit(event as string, ...args);
    if (!this.#isOver) this.#fail();
    this.#isOver = true;
    this.#closeAfter(LINGER_TURNS);
    return true;
  }

  override write(chunk: Uint8Array | string, ...rest: []): boolean {
    if (!this.#isOver) return super.write(chunk, ...rest);
    setImmediate(() => this.#fail());
    return true;
  }

  override end(...args: []): this {
    // Otherwise it is Node's answer to the end of the other side.
    if (!this.readableEnded) this.#isEndedByUs = true;
    return super.end(...args);
  }

  #fail(): void {
    const error = Object.assign(new Error('the server closed the connection'), { code: 'CONNECTION_CLOSED' });
    if (this.listenerCount('error') > 0) this.emit('error', error);
  }

  #closeAfter(turns: number): void {
    if (turns === 0) super.emit('close', true);
    else setImmediate(() => this.#closeAfter(turns - 1));
  }
}
