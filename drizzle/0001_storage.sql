-- UUIDv7 (RFC 9562) for rows whose number only the statement knows. PostgreSQL has one of its own from 18 on; we
-- support 15. The 48 bits of time are laid over a random UUID, then its version 4 (0100) becomes 7 (0111).
CREATE FUNCTION mailgress_uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6),
      52, 1), 53, 1),
    'hex')::uuid
$$;
--> statement-breakpoint
-- Compressed by us where it helps: do not try again.
ALTER TABLE raw_mails ALTER COLUMN bytes SET STORAGE EXTERNAL;
--> statement-breakpoint
-- A delivery is updated twice in its life: room for its versions on its own page.
ALTER TABLE deliveries SET (fillfactor = 75);
--> statement-breakpoint
ALTER TABLE sources SET (fillfactor = 70);
--> statement-breakpoint
-- Deletes a mailbox and all that came through it, and says whether there was one. A function, so that each of its
-- statements sees what the ones before it waited for: the first waits for flushes that hold the mailbox's row, the
-- others then see what those stored.
CREATE FUNCTION mailgress_delete_mailbox(doomed uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  event_ids uuid[];
BEGIN
  DELETE FROM mailboxes WHERE id = doomed;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- A message's event has its id; other events of a mailbox carry data.
  event_ids := ARRAY(SELECT id FROM messages WHERE mailbox_id = doomed)
            || ARRAY(SELECT id FROM events WHERE mailbox_id = doomed AND data IS NOT NULL);
  DELETE FROM attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE event_id = ANY (event_ids));
  DELETE FROM deliveries WHERE event_id = ANY (event_ids);
  DELETE FROM events WHERE id = ANY (event_ids);
  DELETE FROM messages WHERE mailbox_id = doomed;
  DELETE FROM raw_mails WHERE message_id = ANY (event_ids);
  DELETE FROM dedupe_ledger WHERE mailbox_id = doomed;
  RETURN true;
END
$$;
