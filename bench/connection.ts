import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Under the 5 s after which node's servers close an idle connection. */
const IDLE_MS = 3000;

/** One HTTP/1.1 connection, for one request at a time. As little as it takes: the client shares the machine. */
export class Connection {
  readonly #socket: Socket;
  #text = '';
  #usedMs = performance.now();
  #resolve: (answer: string) => void = () => {};
  #reject: (error: Error) => void = () => {};

  static async open(port: number): Promise<Connection> {
    const socket = connect(port, '127.0.0.1').setNoDelay(true);
    await once(socket, 'connect');
    return new Connection(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', (error) => this.#reject(error));
    socket.on('close', () => this.#reject(new Error('the connection closed')));
  }

  /** Whether the server surely has not closed it for being idle. */
  get isFresh(): boolean {
    return performance.now() - this.#usedMs < IDLE_MS;
  }

  /** The whole answer to a whole request. */
  send(request: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Answers are small and have a Content-Length: one read, or a few. */
  #read(chunk: Buffer): void {
    this.#text += chunk.toString('latin1');
    const headEnd = this.#text.indexOf('\r\n\r\n');
    if (headEnd === -1) return;
    const length = Number(/content-length: (\d+)/i.exec(this.#text)?.[1] ?? 0);
    if (this.#text.length < headEnd + 4 + length) return;
    const answer = this.#text;
    this.#text = '';
    this.#usedMs = performance.now();
    this.#resolve(answer);
  }
}
