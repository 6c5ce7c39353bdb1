CREATE TABLE "feed_cluster" (
	"id" integer PRIMARY KEY NOT NULL,
	"system_identifier" bigint NOT NULL
);
--> statement-breakpoint
-- PostgreSQL's own name of the cluster; null for a role that may not ask.
CREATE FUNCTION mailgress_cluster() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT system_identifier FROM pg_control_system());
EXCEPTION WHEN insufficient_privilege THEN
  RETURN NULL;
END
$$;--> statement-breakpoint
INSERT INTO feed_cluster (id, system_identifier) VALUES (1, coalesce(mailgress_cluster(), 0));--> statement-breakpoint
CREATE OR REPLACE FUNCTION mailgress_raise_feed() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  here bigint := mailgress_cluster();
  -- Readers were given places behind the newest event, by as many transactions as had appended nothing since.
  margin CONSTANT bigint := 1::bigint << 40;
  known bigint;
  newest bigint;
BEGIN
  FOR attempt IN 1..2 LOOP
    SELECT system_identifier INTO known FROM feed_cluster;
    newest := coalesce((SELECT xid::text::bigint FROM events ORDER BY xid DESC, id DESC LIMIT 1), 0);
    -- Of this cluster, what can be seen is older than what is still to come.
    IF coalesce(here = known, true) AND newest < mailgress_place(pg_snapshot_xmax(pg_current_snapshot()))::text::bigint THEN
      RETURN false;
    END IF;
    -- Looked at once more when nobody writes: another process may have raised it.
    IF attempt = 1 THEN LOCK TABLE events IN EXCLUSIVE MODE; END IF;
  END LOOP;
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION mailgress_place(number xid8) RETURNS xid8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
       SELECT (number::text::bigint + %s)::text::xid8
     $body$',
    newest + margin - pg_snapshot_xmin(pg_current_snapshot())::text::bigint
  );
  UPDATE feed_cluster SET system_identifier = coalesce(here, known);
  RETURN true;
END
$$;--> statement-breakpoint
-- As before, and what consumers answered goes too: they may have said the mail back.
CREATE OR REPLACE FUNCTION mailgress_delete_message(doomed uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM messages WHERE id = doomed;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM raw_mails WHERE message_id = doomed;
  -- With data of its own it is also found when its mailbox is deleted.
  UPDATE events SET data = json_build_object(
    'id', 'msg_' || replace(doomed::text, '-', ''), 'tenant', tenant,
    'mailboxId', 'mbx_' || replace(mailbox_id::text, '-', ''), 'deleted', true)
  WHERE id = doomed;
  -- One that is under way is recorded as it ends; should it be tried again, there is nothing to send.
  UPDATE deliveries SET
    status = 'failed', completed_at = now(), lease_owner = NULL,
    last_error = 'the message was deleted before it could be sent'
  WHERE event_id = doomed AND status = 'pending' AND (lease_owner IS NULL OR next_attempt_at <= now());
  UPDATE attempts SET response_excerpt = NULL
  WHERE response_excerpt IS NOT NULL AND delivery_id IN (SELECT id FROM deliveries WHERE event_id = doomed);
  RETURN true;
END
$$;
