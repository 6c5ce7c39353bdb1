import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/**
 * Hands a mail to an LMTP server (RFC 2033) on a unix socket, in a session of its own. Rejects with the server's answer
 * when it does not take it.
 */
export async function deliverByLmtp(
  path: string,
  recipient: string,
  raw: string | Uint8Array,
): Promise<void> {
  const socket = connect(path);
  const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })[
    Symbol.asyncIterator
  ]();

  async function expect(code: string, sent: string): Promise<void> {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`LMTP ended after ${sent}`);
      if (!value.startsWith(code)) throw new Error(`LMTP says "${value}" to ${sent}`);
      if (value[3] !== '-') return;
    }
  }

  async function say(line: string, code: string): Promise<void> {
    socket.write(`${line}\r\n`);
    await expect(code, line);
  }

  try {
    await once(socket, 'connect');
    await expect('220', 'the connection');
    await say('LHLO test', '250');
    await say('MAIL FROM:<sender@example.com>', '250');
    await say(`RCPT TO:<${recipient}>`, '250');
    await say('DATA', '354');
    socket.write(stuffed(raw));
    await expect('250', 'the mail');
  } finally {
    socket.destroy();
  }
}

/** As on the wire: lines that begin with a dot get another one (RFC 5321 4.5.2), and a dot alone ends it. */
function stuffed(raw: string | Uint8Array): Buffer {
  // latin1 keeps every byte as it is.
  const text = Buffer.from(raw).toString('latin1').replace(/^\./gm, '..');
  return Buffer.from(`${text}${text.endsWith('\n') ? '' : '\r\n'}.\r\n`, 'latin1');
}
