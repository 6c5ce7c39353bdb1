import type { Sql } from 'postgres';
import { type ApiKey, createKey, hashKey, type Role } from '../core/api-key.ts';
import { createId, type Id, idOf, uuidOf } from '../core/ids.ts';
import { inPageOrder, isInPage, type Page, type PageRequest, toPage } from './page.ts';
import type { Scope } from './scope.ts';

/** Who asks: whose rows it may see, and what it may do. The admin key is none of the table. */
export type Principal = Scope & { readonly role: Role; readonly keyId: Id<'key'> | null };

/** @returns the row and the key itself, which is not kept: no later call answers it. */
export async function createApiKey(
  sql: Sql,
  { role, tenant, description }: { role: Role; tenant: string | null; description: string },
): Promise<{ apiKey: ApiKey; key: string }> {
  const key = createKey();
  const [row] = await sql<[ApiKeyRow]>`
    INSERT INTO api_keys (id, hash, role, tenant, description)
    VALUES (${uuidOf(createId('key'))}, ${hashKey(key)}, ${role}, ${tenant}, ${description})
    RETURNING ${columns(sql)}`;
  return { apiKey: toApiKey(row), key };
}

export async function listApiKeys(sql: Sql, request: PageRequest): Promise<Page<ApiKey>> {
  const rows = await sql<ApiKeyRow[]>`
    SELECT ${columns(sql)} FROM api_keys
    WHERE ${isInPage(sql, { id: 'id', tenant: 'tenant' }, request)} ${inPageOrder(sql, 'id', request)}`;
  return toPage(rows.map(toApiKey), request);
}

export async function findApiKey(sql: Sql, id: Id<'key'>): Promise<ApiKey | undefined> {
  const [row] = await sql<ApiKeyRow[]>`SELECT ${columns(sql)} FROM api_keys WHERE id = ${uuidOf(id)}`;
  return row && toApiKey(row);
}

/** Takes the key back. Every process asks for each request, so the next one is refused. */
export async function deleteApiKey(sql: Sql, id: Id<'key'>): Promise<boolean> {
  const rows = await sql`DELETE FROM api_keys WHERE id = ${uuidOf(id)} RETURNING id`;
  return rows.length > 0;
}

/** Who has the key of this hash: one probe of a unique index, and never a memory of it. */
export async function findPrincipal(sql: Sql, hash: Buffer): Promise<Principal | undefined> {
  const [row] = await sql<{ id: string; role: Role; tenant: string | null }[]>`
    SELECT id, role, tenant FROM api_keys WHERE hash = ${hash}`;
  return row && { keyId: idOf('key', row.id), role: row.role, tenant: row.tenant };
}

type ApiKeyRow = Omit<ApiKey, 'lastUsedAt' | 'createdAt'> & { lastUsedAt: Date | null; createdAt: Date };

function columns(sql: Sql) {
  return sql`id, role, tenant, description, last_used_at AS "lastUsedAt", created_at AS "createdAt"`;
}

function toApiKey({ id, lastUsedAt, createdAt, ...row }: ApiKeyRow): ApiKey {
  return {
    id: idOf('key', id),
    ...row,
    lastUsedAt: lastUsedAt?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
  };
}
