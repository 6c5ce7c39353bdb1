/** A structured header as the parser gives it: the value in lower case, and its parameters. */
export type StructuredHeader = { value: string; params: Record<string, string> };

/** A type and a subtype at the start of a value, and what is behind them without the `;` that belongs there. */
const TYPE = /^([a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+)[\s,:]+(.*)$/s;

/**
 * Makes a Content-Type what it means, in place. RFC 2045, 5.2 has what cannot be read be text/plain:
 *
 * - `text`, `plain` and an empty one are text/plain, as old programs write them, but for attachments;
 * - `text/plain charset=utf-8`, its semicolon forgotten, is the type with that charset.
 */
export function mendContentType(header: StructuredHeader, disposition: string): void {
  if (disposition !== 'attachment' && ['', 'text', 'plain'].includes(header.value))
    header.value = 'text/plain';
  const [, type, rest = ''] = TYPE.exec(header.value) ?? [];
  if (type === undefined) return;
  header.value = type;
  const charset = /charset\s*=\s*"?([\w.:-]+)/.exec(rest)?.[1];
  if (charset !== undefined) header.params.charset ??= charset;
}

/**
 * Makes a Content-Disposition what it means, in place: `attachment filename=a.pdf`, its semicolon forgotten, is an
 * attachment of that name. What has a file name is an attachment too where nobody knows its disposition, as RFC 2183,
 * 2.8 has it.
 *
 * @param written the value as it came: the parser makes the first word, which holds the name then, lower-case.
 */
export function mendContentDisposition(header: StructuredHeader, written: string): void {
  if (header.value === '' || header.value === 'attachment' || header.value === 'inline') return;
  const [, quoted, bare] = /[\s,:;]?filename\s*=\s*(?:"([^"]*)"|([^\s;"]+))/i.exec(written) ?? [];
  const filename = quoted ?? bare;
  if (filename !== undefined) header.params.filename ??= filename;
  const [word] = /^[a-z]*/.exec(header.value) ?? [];
  if (word === 'inline') header.value = 'inline';
  else if (word === 'attachment' || header.params.filename !== undefined) header.value = 'attachment';
}

/** The charset that an html text names in its head: a Content-Type without one leaves it to that. */
export function findCharsetOfHtml(html: Uint8Array): string | undefined {
  const head = Buffer.from(html.subarray(0, 4096)).toString('latin1');
  return /<meta\b[^>]{0,200}?charset\s*=\s*["']?([\w.:-]+)/i.exec(head)?.[1];
}
