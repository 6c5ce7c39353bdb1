import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

/**
 * Gives single users a password of their own, in the files `changed` and `known` (see `dovecot-config.ts`). Dovecot reads
 * a file again when its second or its size has changed, so each version is larger than the one before; and it looks at
 * most once in a second of the clock, so the change waits for the next one.
 */
export function createPasswords(directory: string): (user: string, password: string) => Promise<void> {
  const passwords = new Map<string, string>();
  let size = 0;

  async function write(name: string, lines: string[]): Promise<void> {
    const text = `${lines.join('\n')}\n`;
    const padding = Math.max(0, size - text.length);
    const path = join(directory, name);
    await writeFile(`${path}.new`, `${text}#${'x'.repeat(padding)}\n`);
    await rename(`${path}.new`, path);
  }

  return async (user, password) => {
    passwords.set(user, password);
    size = Math.max(size, 200 * passwords.size) + 10;
    const users = [...passwords];
    await write(
      'known',
      users.map(([name]) => `${name}:{PLAIN}::::::nopassword`),
    );
    await write(
      'changed',
      users.map(([name, own]) => `${name}:{PLAIN}${own}`),
    );
    const second = Math.floor(Date.now() / 1000);
    while (Math.floor(Date.now() / 1000) === second) await wait(1000 - (Date.now() % 1000));
  };
}
