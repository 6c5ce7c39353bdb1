/** `&#8217;`, `&#x2019;`, `&rsquo;`; the semicolon is often forgotten. Lengths are bounded: nothing is walked twice. */
const REFERENCE = /&(?:#(\d{1,8})|#x([0-9a-f]{1,6})|([a-z]{2,8}\d{0,2}));?/gi;

/** The names for U+00A0 to U+00FF, in the order of the code points (HTML 4, section 24.2.1). */
const LATIN_1_NAMES =
  'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute ' +
  'micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig ' +
  'Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash ' +
  'Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ' +
  'ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc ' +
  'uuml yacute thorn yuml';

/** The others that mail programs write; the full list has 2,231 names and is not worth its weight here. */
const NAMED: ReadonlyMap<string, string> = new Map([
  ...LATIN_1_NAMES.split(' ').map((name, offset) => [name, String.fromCodePoint(0xa0 + offset)] as const),
  ...Object.entries({
    amp: '&',
    lt: '<',
    gt: '>',
    quot: '"',
    apos: "'",
    ndash: '\u2013',
    mdash: '\u2014',
    lsquo: '\u2018',
    rsquo: '\u2019',
    sbquo: '\u201a',
    ldquo: '\u201c',
    rdquo: '\u201d',
    bdquo: '\u201e',
    lsaquo: '\u2039',
    rsaquo: '\u203a',
    bull: '\u2022',
    hellip: '\u2026',
    euro: '\u20ac',
    trade: '\u2122',
    ensp: '\u2002',
    emsp: '\u2003',
    thinsp: '\u2009',
    zwnj: '\u200c',
    zwj: '\u200d',
  }),
]);

/**
 * The text with its html character references resolved: numbers, and the names that mail uses. An unknown name
 * stays as it is; a number that names no character is U+FFFD, as in a browser. The result is well-formed.
 */
export function resolveReferences(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(REFERENCE, (reference, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return NAMED.get(name) ?? reference;
    return characterOf(decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal));
  });
}

function characterOf(codePoint: number): string {
  const isSurrogate = codePoint >= 0xd800 && codePoint <= 0xdfff;
  return codePoint === 0 || isSurrogate || codePoint > 0x10ffff ? '\ufffd' : String.fromCodePoint(codePoint);
}
