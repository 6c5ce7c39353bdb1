import type { Fragment, Sql } from 'postgres';

/**
 * For a statement that appends events: a delivery of each row of its `logged` (id, type, tenant) for each endpoint that
 * asked for its type.
 */
export function tellEndpoints(sql: Sql): Fragment {
  return sql`
    INSERT INTO deliveries (id, endpoint_id, event_id)
    SELECT mailgress_uuidv7(), endpoints.id, logged.id
    FROM logged JOIN endpoints
      ON endpoints.is_enabled AND (endpoints.tenant IS NULL OR endpoints.tenant = logged.tenant)
     AND logged.type = ANY (endpoints.types)`;
}
