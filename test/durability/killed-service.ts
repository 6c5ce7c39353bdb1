import { type MailgressProcess, startMailgress } from '../support/process.ts';

/** `mailgress serve` on one port, started again and again. */
export class KilledService {
  readonly env: Record<string, string>;
  readonly port: number;
  /** Ends that nobody asked for. */
  readonly crashes: string[] = [];
  address = '';
  #process: MailgressProcess | undefined;

  constructor(env: Record<string, string>, port: number) {
    this.env = env;
    this.port = port;
  }

  get process(): MailgressProcess {
    if (this.#process === undefined) throw new Error('not started');
    return this.#process;
  }

  /** @param pushTo told where pushes go from now on. */
  async start(pushTo: (url: string) => void): Promise<string> {
    const started = startMailgress(['serve'], { ...this.env, PORT: String(this.port) });
    this.#process = started;
    pushTo(`http://127.0.0.1:${this.port}/v1/ingest/pubsub`);
    void started.ended.then(({ code, stderr }) => {
      if (code !== null) this.crashes.push(`exit ${code}: ${stderr.slice(-2000)}`);
    });
    this.address = await started.ready();
    return this.address;
  }

  /** Kills it now. */
  strike(): void {
    this.#process?.kill('SIGKILL');
  }

  async kill(): Promise<void> {
    this.strike();
    await this.#process?.ended;
  }
}
