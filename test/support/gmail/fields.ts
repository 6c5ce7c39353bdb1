/** What is selected of an object: of each name all, or a selection of it. */
type Selection = Map<string, Selection | 'all'>;

/**
 * Google's partial responses: `fields=history(id,messagesAdded/message/id),nextPageToken`
 * (https://developers.google.com/workspace/gmail/api/guides/performance). emulate always answers all.
 *
 * @returns undefined for what is no selection; Google answers 400 then.
 */
export function selectFields(value: unknown, fields: string): unknown {
  const { selection, end } = parseSelection(fields, 0);
  return end === fields.length && !selection.has('') ? pick(value, selection) : undefined;
}

function parseSelection(text: string, start: number): { selection: Selection; end: number } {
  const selection: Selection = new Map();
  let at = start;
  for (;;) {
    const { path, end } = parsePath(text, at);
    at = end;
    merge(selection, path);
    if (text[at] !== ',') return { selection, end: at };
    at++;
  }
}

/** `a/b/c`, of which the last may be `c(d,e)`. */
function parsePath(text: string, start: number): { path: Selection; end: number } {
  const [name = ''] = /^[\w*]*/.exec(text.slice(start)) ?? [];
  const at = start + name.length;
  if (text[at] === '/') {
    const { path, end } = parsePath(text, at + 1);
    return { path: new Map([[name, path]]), end };
  }
  if (text[at] !== '(') return { path: new Map([[name, 'all']]), end: at };
  const { selection, end } = parseSelection(text, at + 1);
  return { path: new Map([[name, selection]]), end: text[end] === ')' ? end + 1 : text.length + 1 };
}

function merge(into: Selection, path: Selection): void {
  for (const [name, inner] of path) {
    const known = into.get(name);
    if (known === undefined || inner === 'all') into.set(name, inner);
    else if (known !== 'all') merge(known, inner);
  }
}

function pick(value: unknown, selection: Selection): unknown {
  if (Array.isArray(value)) return value.map((one) => pick(one, selection));
  if (typeof value !== 'object' || value === null) return value;
  const picked = Object.entries(value).flatMap(([name, inner]) => {
    const selected = selection.get(name) ?? selection.get('*');
    if (selected === undefined) return [];
    return [[name, selected === 'all' ? inner : pick(inner, selected)] as const];
  });
  return Object.fromEntries(picked);
}
