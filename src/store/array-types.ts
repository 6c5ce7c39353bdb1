/** The array types that statements here take and answer, by their ids (pg_type.dat, the same in every PostgreSQL). */
const ARRAY_TYPES = {
  booleans: 1000,
  byteas: 1001,
  integers: 1007,
  texts: 1009,
  bigints: 1016,
  timestamptzs: 1185,
  uuids: 2951,
};

/**
 * Arrays of one dimension, for the driver's option `types`. By itself it asks the server for them on each connection;
 * a connection that ends during that rejects a promise that nobody holds, which ends the process (postgres 3.4.9,
 * `fetchArrayTypes`). What comes back has text elements, or null.
 */
export const arrayTypes = Object.fromEntries(
  Object.entries(ARRAY_TYPES).map(([name, oid]) => [
    name,
    { to: oid, from: [oid], serialize: printArray, parse: parseArray },
  ]),
);

/** PostgreSQL's notation of an array (manual, 8.15.6). */
function printArray(values: readonly unknown[]): string {
  return `{${values.map(printElement).join(',')}}`;
}

function printElement(value: unknown): string {
  if (value === null) return 'NULL';
  // bytea's hex, with its one backslash escaped.
  if (value instanceof Uint8Array) return `"\\\\x${Buffer.from(value).toString('hex')}"`;
  const text = value instanceof Date ? value.toISOString() : String(value);
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function parseArray(text: string): (string | null)[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|([^,{}]+)/gs)].map(([, quoted, plain]) => {
    if (quoted !== undefined) return quoted.replaceAll(/\\(.)/gs, '$1');
    return plain === undefined || plain === 'NULL' ? null : plain;
  });
}
