/** A JSON Schema as zod writes it. */
export type JsonSchema = { [keyword: string]: unknown };

/** A JSON Schema in a few words, in the manner of TypeScript; descriptions are comments at the end of a line. */
export function describeSchema(schema: JsonSchema, indent = ''): string {
  const { type } = schema;
  const options = childrenOf(schema.anyOf ?? schema.oneOf);
  if (options.length > 0) return options.map((option) => describeSchema(option, indent)).join(' | ');
  const all = childrenOf(schema.allOf);
  if (all.length > 0) return all.map((part) => describeSchema(part, indent)).join(' & ');
  if ('const' in schema) return JSON.stringify(schema.const);
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (Array.isArray(type))
    return type.map((one) => describeSchema({ ...schema, type: one }, indent)).join(' | ');
  if (type === 'array') return describeArray(schema, indent);
  if (type === 'object') return describeObject(schema, indent);
  if (type === 'integer') return 'integer';
  return typeof type === 'string' ? withFormat(type, schema.format) : 'any';
}

/** A document with each named schema in the place of its name. */
export function inlineSchemas<T extends object>(document: T): T {
  const named: { [name: string]: unknown } =
    (document as { components?: { schemas?: JsonSchema } }).components?.schemas ?? {};
  const inline = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(inline);
    if (!isSchema(value)) return value;
    const name =
      typeof value.$ref === 'string' ? /^#\/components\/schemas\/(.+)$/.exec(value.$ref)?.[1] : undefined;
    // No schema of ours holds itself.
    if (name !== undefined) return inline(named[name]);
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inline(one)]));
  };
  // The same shape, without references.
  return inline(document) as T;
}

function describeArray({ items, prefixItems }: JsonSchema, indent: string): string {
  const tuple = childrenOf(prefixItems);
  if (tuple.length > 0) return `[${tuple.map((item) => describeSchema(item, indent)).join(', ')}]`;
  const item = isSchema(items) ? describeSchema(items, indent) : 'any';
  return item.includes(' | ') && !item.startsWith('{') ? `(${item})[]` : `${item}[]`;
}

function describeObject({ properties, required, additionalProperties }: JsonSchema, indent: string): string {
  const inner = `${indent}  `;
  const names = Array.isArray(required) ? required : [];
  const lines = Object.entries(isSchema(properties) ? properties : {}).flatMap(([name, property]) => {
    if (!isSchema(property)) return [];
    const note = typeof property.description === 'string' ? `  // ${property.description}` : '';
    // Behind an object of several lines a comment would stand at its end.
    const text = describeSchema(property, inner);
    const line = `${inner}${name}${names.includes(name) ? '' : '?'}: ${text}`;
    return note !== '' && text.includes('\n') ? [`${inner}${note.trim()}`, line] : [`${line}${note}`];
  });
  if (lines.length > 0) return `{\n${lines.join('\n')}\n${indent}}`;
  return isSchema(additionalProperties)
    ? `{ [name]: ${describeSchema(additionalProperties, indent)} }`
    : '{}';
}

const withFormat = (type: string, format: unknown) =>
  typeof format === 'string' ? `${type} (${format})` : type;

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const childrenOf = (value: unknown): JsonSchema[] => (Array.isArray(value) ? value.filter(isSchema) : []);
