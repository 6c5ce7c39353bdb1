import type { PendingQuery, Row, Sql } from 'postgres';

/** Whose rows a caller may see: those of one tenant, or with null those of all. */
export type Scope = { readonly tenant: string | null };

/** For callers inside the service, who act for nobody. */
export const ALL_TENANTS: Scope = { tenant: null };

/**
 * The tenant of an event about what belongs to all tenants, such as their endpoints: only who sees all of them sees it.
 * No tenant can have the empty name.
 */
export const NO_TENANT = '';

/** The condition that keeps a query within a scope. A row whose tenant is null is nobody's but those who see all. */
export function isInScope(sql: Sql, tenantColumn: string, { tenant }: Scope): PendingQuery<Row[]> {
  return tenant === null ? sql`true` : sql`${sql(tenantColumn)} = ${tenant}`;
}
