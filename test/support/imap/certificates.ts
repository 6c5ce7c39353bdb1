import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Paths of PEM files, and the CA's text for `tls.connect({ ca })`. */
export type Certificates = {
  ca: string;
  caPath: string;
  /** For localhost, 127.0.0.1 and 127.0.0.2. */
  certPath: string;
  keyPath: string;
};

/** Which name the server's certificate holds: the right ones, another one, or the right ones but it is over. */
export type CertificateKind = 'localhost' | 'wrong-name' | 'expired' | 'self-signed';

/**
 * A certificate authority and a certificate of its own for one test server, made with `openssl` in about 30 ms. Written
 * to `directory`. `self-signed` is signed by its own key, so that `ca` does not vouch for it.
 */
export async function createCertificates(
  directory: string,
  kind: CertificateKind = 'localhost',
): Promise<Certificates> {
  const at = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const names = kind === 'wrong-name' ? 'DNS:imap.elsewhere.test' : 'DNS:localhost,IP:127.0.0.1,IP:127.0.0.2';
  await writeFile(at('names.cnf'), `subjectAltName=${names}\n`);
  await openssl(
    ...['req', '-x509', ...newKey, '-days', '3650', '-subj', '/CN=CA of the IMAP tests'],
    ...['-keyout', 'ca.key.pem', '-out', 'ca.pem'],
  );
  await openssl(
    ...['req', ...newKey, '-subj', '/CN=localhost', '-keyout', 'server.key.pem', '-out', 'server.csr'],
  );
  // OpenSSL takes a negative number of days, and the certificate has then been over since yesterday.
  const days = kind === 'expired' ? '-1' : '3650';
  const signer =
    kind === 'self-signed'
      ? ['-signkey', 'server.key.pem']
      : ['-CA', 'ca.pem', '-CAkey', 'ca.key.pem', '-CAcreateserial'];
  await openssl(
    ...['x509', '-req', '-in', 'server.csr', '-days', days, ...signer],
    ...['-extfile', 'names.cnf', '-out', 'server.pem'],
  );
  return {
    ca: await readFile(at('ca.pem'), 'utf8'),
    caPath: at('ca.pem'),
    certPath: at('server.pem'),
    keyPath: at('server.key.pem'),
  };
}
