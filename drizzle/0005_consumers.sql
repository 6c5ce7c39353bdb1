CREATE TABLE "api_keys" (
	"id" uuid PRIMARY KEY NOT NULL,
	"hash" "bytea" NOT NULL,
	"role" text NOT NULL,
	"tenant" text,
	"description" text DEFAULT '' NOT NULL,
	"last_used_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "replays" (
	"id" uuid PRIMARY KEY NOT NULL,
	"endpoint_id" uuid NOT NULL,
	"since" timestamp with time zone NOT NULL,
	"until" timestamp with time zone NOT NULL,
	"mailbox_id" uuid,
	"ignores_rules" boolean DEFAULT false NOT NULL,
	"status" text DEFAULT 'running' NOT NULL,
	"total" integer NOT NULL,
	"queued" integer DEFAULT 0 NOT NULL,
	"position" uuid,
	"due_at" timestamp with time zone DEFAULT now() NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"completed_at" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "rule" text;--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "lane" uuid;--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "rules" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "order" text;--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "rate_per_second" integer;--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "headers" "bytea";--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "failing_since" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "recent_failures" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "recent_failures_since" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "replays" ADD CONSTRAINT "replays_endpoint_id_endpoints_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "public"."endpoints"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_hash" ON "api_keys" USING btree ("hash");--> statement-breakpoint
-- Of an endpoint for all tenants: no one tenant is to read of it.
UPDATE events SET tenant = '' WHERE type LIKE 'endpoint.%' AND data -> 'endpoint' ->> 'tenant' IS NULL;
--> statement-breakpoint
-- Deletes a message and its bytes, and says whether there was one. Its event stays in the log and says so; what was still to
-- be sent is not. The ledger keeps its key, so that it never comes again. A function, as with mailboxes: its later
-- statements see the bytes of a whole copy that the first one waited for.
CREATE FUNCTION mailgress_delete_message(doomed uuid) RETURNS boolean LANGUAGE plpgsql AS $$
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
  RETURN true;
END
$$;
