/** RFC 8551, 3.2.1: endings by which S/MIME is known where its type got lost. */
const SMIME_TYPES: ReadonlyMap<string, string> = new Map([
  ['.p7m', 'application/pkcs7-mime'],
  ['.p7c', 'application/pkcs7-mime'],
  ['.p7z', 'application/pkcs7-mime'],
  ['.p7s', 'application/pkcs7-signature'],
]);

/** MS-OXTNEF: a stream begins with 0x223E9F78, least byte first. */
const TNEF_SIGNATURE = [0x78, 0x9f, 0x3e, 0x22];

/**
 * The type of an attachment as its part says, in lower case. Where that is nothing, or nothing but bytes, what is
 * known by its name is told: parts of S/MIME (RFC 5751, 3.9), and the winmail.dat of Outlook, which is
 * `application/ms-tnef` if it begins as one.
 */
export function attachmentType(mimeType: string, filename: string | null, content: Uint8Array): string {
  const isTold = mimeType !== '' && mimeType !== 'application/octet-stream';
  if (isTold || filename === null) return mimeType || 'application/octet-stream';
  const name = filename.toLowerCase();
  const isTnef = name === 'winmail.dat' && TNEF_SIGNATURE.every((byte, index) => content[index] === byte);
  return (isTnef ? 'application/ms-tnef' : SMIME_TYPES.get(name.slice(-4))) ?? 'application/octet-stream';
}
