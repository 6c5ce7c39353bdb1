ALTER TABLE "feed_cluster" ADD COLUMN "timeline" integer;
--> statement-breakpoint
-- The history that is being written now. From the WAL: the control file has it only after the next checkpoint. Null for a server that does
-- not tell.
CREATE FUNCTION mailgress_timeline() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  RETURN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$$;--> statement-breakpoint
CREATE OR REPLACE FUNCTION mailgress_raise_feed() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  here bigint := mailgress_cluster();
  line integer := mailgress_timeline();
  -- Readers were given places behind the newest event, by as many transactions as had appended nothing since, or are lost.
  margin CONSTANT bigint := 1::bigint << 40;
  known_here bigint;
  known_line integer;
  newest bigint;
  next bigint;
BEGIN
  FOR attempt IN 1..2 LOOP
    SELECT system_identifier, timeline INTO known_here, known_line FROM feed_cluster;
    newest := coalesce((SELECT xid::text::bigint FROM events ORDER BY xid DESC, id DESC LIMIT 1), 0);
    next := mailgress_place(pg_snapshot_xmax(pg_current_snapshot()))::text::bigint;
    -- Of this cluster and history, what can be seen is older than what is still to come.
    IF coalesce(here = known_here, true) AND coalesce(line = known_line, true) AND newest < next THEN
      -- At the first start since there is the column.
      IF known_line IS NULL AND line IS NOT NULL THEN UPDATE feed_cluster SET timeline = line; END IF;
      RETURN false;
    END IF;
    -- Looked at once more when nobody writes: another process may have raised it.
    IF attempt = 1 THEN LOCK TABLE events IN EXCLUSIVE MODE; END IF;
  END LOOP;
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION mailgress_place(number xid8) RETURNS xid8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
       SELECT (number::text::bigint + %s)::text::xid8
     $body$',
    -- Also from the place that was reached without an event: since it was raised last, readers were given places up to it.
    greatest(newest, next) + margin - pg_snapshot_xmin(pg_current_snapshot())::text::bigint
  );
  UPDATE feed_cluster SET system_identifier = coalesce(here, known_here), timeline = coalesce(line, known_line);
  RETURN true;
END
$$;
