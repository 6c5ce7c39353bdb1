-- What is added to the number of a transaction. Replaced when it is raised: as a constant it costs an insert nothing.
CREATE FUNCTION mailgress_place(number xid8) RETURNS xid8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (number::text::bigint + 0)::text::xid8
$$;--> statement-breakpoint
CREATE FUNCTION mailgress_raise_feed() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  newest bigint;
BEGIN
  FOR attempt IN 1..2 LOOP
    SELECT xid::text::bigint INTO newest FROM events ORDER BY xid DESC, id DESC LIMIT 1;
    -- Of this cluster, what can be seen is older than what is still to come.
    IF newest IS NULL OR newest < mailgress_place(pg_snapshot_xmax(pg_current_snapshot()))::text::bigint THEN
      RETURN false;
    END IF;
    -- Looked at once more when nobody writes: another process may have raised it.
    IF attempt = 1 THEN LOCK TABLE events IN EXCLUSIVE MODE; END IF;
  END LOOP;
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION mailgress_place(number xid8) RETURNS xid8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
       SELECT (number::text::bigint + %s)::text::xid8
     $body$',
    newest + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint
  );
  RETURN true;
END
$$;--> statement-breakpoint
ALTER TABLE "events" ALTER COLUMN "xid" SET DEFAULT mailgress_place(pg_current_xact_id());
