ALTER TABLE "endpoints" ADD COLUMN "older_secrets" jsonb DEFAULT '[]'::jsonb NOT NULL;
--> statement-breakpoint
-- As before, and what fails by it is held by no rule any more.
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
    status = 'failed', completed_at = now(), lease_owner = NULL, rule = NULL,
    last_error = 'the message was deleted before it could be sent'
  WHERE event_id = doomed AND status = 'pending' AND (lease_owner IS NULL OR next_attempt_at <= now());
  UPDATE attempts SET response_excerpt = NULL
  WHERE response_excerpt IS NOT NULL AND delivery_id IN (SELECT id FROM deliveries WHERE event_id = doomed);
  RETURN true;
END
$$;
