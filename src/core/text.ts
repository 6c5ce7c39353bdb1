const SHORT_LENGTH = 64 * 1024;

/**
 * The text as PostgreSQL and JSON readers take it: U+0000 (PostgreSQL's text refuses it) becomes U+FFFD, and so
 * does each lone surrogate (it has no UTF-8 form). The very same string comes back if there was none.
 */
export function toStorable(text: string): string {
  // Both tests run at memory speed; nearly every string ends here.
  if (text.isWellFormed() && !text.includes('\0')) return text;
  const wellFormed = text.toWellFormed();
  if (wellFormed.length <= SHORT_LENGTH) return wellFormed.replaceAll('\0', '\ufffd');
  // `replaceAll` has an object for each: 40 times the size of a text of zeros.
  const bytes = Buffer.from(wellFormed, 'utf16le');
  const units = new Uint16Array(bytes.buffer, bytes.byteOffset, wellFormed.length);
  for (let at = units.indexOf(0); at !== -1; at = units.indexOf(0, at + 1)) units[at] = 0xfffd;
  return bytes.toString('utf16le');
}

/**
 * Makes every string in a tree of plain objects and arrays storable, in place, and says whether one had to
 * change. Run at the way out, it holds for fields that are yet to be invented as well. The names of fields are
 * taken to be our own; the tree has no circles.
 */
export function repairStrings(tree: object): boolean {
  // The casts hold: an index of an array is a name of it, and only values that are strings are written, with strings.
  const fields = tree as Record<string | number, unknown>;
  // By number, since the names of a long list are as many strings to make: headers are lists of pairs.
  if (Array.isArray(tree)) return repairEach(fields, tree.length);
  let isChanged = false;
  for (const name of Object.keys(fields)) isChanged = repairField(fields, name) || isChanged;
  return isChanged;
}

function repairEach(fields: Record<string | number, unknown>, length: number): boolean {
  let isChanged = false;
  for (let index = 0; index < length; index += 1) isChanged = repairField(fields, index) || isChanged;
  return isChanged;
}

function repairField(fields: Record<string | number, unknown>, name: string | number): boolean {
  const value = fields[name];
  if (typeof value === 'object' && value !== null) return repairStrings(value);
  if (typeof value !== 'string') return false;
  const storable = toStorable(value);
  if (storable === value) return false;
  fields[name] = storable;
  return true;
}

/** The longest start of `text` that takes at most `limitBytes` of UTF-8; no code point is split. */
export function cutToUtf8Bytes(text: string, limitBytes: number): string {
  // A UTF-16 unit takes at most 3 bytes of UTF-8 (a pair takes 4).
  if (text.length * 3 <= limitBytes || Buffer.byteLength(text) <= limitBytes) return text;
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(limitBytes));
  return text.slice(0, read);
}

/** The longest start of `text` with at most `limit` UTF-16 units; no surrogate pair is split. */
export function cutToLength(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const isInsidePair = /[\ud800-\udbff]/.test(text.charAt(limit - 1));
  return text.slice(0, isInsidePair ? limit - 1 : limit);
}

/** Line breaks and tabs, which folding and encoded words bring into names and subjects, as single spaces. */
export function onOneLine(text: string): string {
  return text.replace(/[\t\r\n]+/g, ' ');
}

/**
 * Every run of blanks as one space. Newsletters pad their preview with soft hyphens, joiners and zero-width
 * spaces: two or more of these in a row are a blank too; one alone is not, it joins Persian letters and emoji.
 */
export function collapseBlanks(text: string): string {
  return text.replace(/[\u034f\s\u00ad\u200b-\u200f\u2060-\u2064\ufeff]{2,}|[^\S ]/g, ' ');
}
