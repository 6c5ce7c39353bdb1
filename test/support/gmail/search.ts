const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * The parameters of messages.list as emulate must be asked to find what Gmail would: it knows no `in:anywhere`, no
 * `newer_than:`, of what is denied only labels, and takes `after:` as later than, where Gmail includes the second.
 *
 * @returns undefined for a search that emulate would take for another one.
 */
export function emulateQuery(params: URLSearchParams): URLSearchParams | undefined {
  const changed = new URLSearchParams(params);
  const terms: string[] = [];
  for (const term of (params.get('q') ?? '').match(/"[^"]*"|\S+/g) ?? []) {
    const [, denied, operator, value] = /^(-?)(\w+):(.+)$/.exec(term) ?? [];
    if (/^(OR|AND|AROUND|\{.*|.*\}|\(.*|.*\))$/.test(term) || (operator === undefined && /^-/.test(term)))
      return undefined;
    if (operator === undefined) terms.push(term);
    else if (operator === 'in' && value === 'anywhere') changed.set('includeSpamTrash', 'true');
    else if (['in', 'is', 'label'].includes(operator)) {
      // What Gmail finds in there it finds nowhere else.
      if (denied === '' && /^(spam|trash)$/i.test(value ?? '')) changed.set('includeSpamTrash', 'true');
      terms.push(denied === '' ? term : `-label:${value}`);
    } else if (denied === '-') return undefined;
    else if (operator === 'after' && /^\d+$/.test(value ?? ''))
      terms.push(`after:${Number(value) * 1000 - 1}`);
    else if (operator === 'newer_than' && /^\d+d$/.test(value ?? ''))
      terms.push(`after:${Date.now() - Number.parseInt(value ?? '', 10) * DAY_MS}`);
    else if (['before', 'from', 'to', 'subject', 'rfc822msgid', 'has'].includes(operator)) terms.push(term);
    else return undefined;
  }
  changed.delete('q');
  if (terms.length > 0) changed.set('q', terms.join(' '));
  return changed;
}
