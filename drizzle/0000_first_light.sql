CREATE TABLE "attempts" (
	"id" uuid PRIMARY KEY NOT NULL,
	"delivery_id" uuid NOT NULL,
	"started_at" timestamp with time zone NOT NULL,
	"duration_ms" integer NOT NULL,
	"status_code" integer,
	"error_code" text,
	"error" text,
	"response_excerpt" text
);
--> statement-breakpoint
CREATE TABLE "dedupe_ledger" (
	"mailbox_id" uuid NOT NULL,
	"key" uuid NOT NULL,
	"message_id" uuid NOT NULL,
	CONSTRAINT "dedupe_ledger_mailbox_id_key_pk" PRIMARY KEY("mailbox_id","key")
);
--> statement-breakpoint
CREATE TABLE "deliveries" (
	"id" uuid PRIMARY KEY NOT NULL,
	"endpoint_id" uuid NOT NULL,
	"event_id" uuid NOT NULL,
	"replay_id" uuid DEFAULT '00000000-0000-0000-0000-000000000000' NOT NULL,
	"status" text DEFAULT 'pending' NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp with time zone DEFAULT now() NOT NULL,
	"lease_owner" uuid,
	"fence" integer DEFAULT 0 NOT NULL,
	"last_status_code" integer,
	"last_error" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"completed_at" timestamp with time zone,
	CONSTRAINT "deliveries_once" UNIQUE("event_id","endpoint_id","replay_id")
);
--> statement-breakpoint
CREATE TABLE "endpoints" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text,
	"url" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"types" text[] NOT NULL,
	"secret" "bytea" NOT NULL,
	"previous_secret" "bytea",
	"previous_secret_until" timestamp with time zone,
	"is_enabled" boolean DEFAULT true NOT NULL,
	"disabled_reason" text,
	"max_in_flight" integer NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "events" (
	"id" uuid PRIMARY KEY NOT NULL,
	"xid" "xid8" DEFAULT pg_current_xact_id() NOT NULL,
	"type" text NOT NULL,
	"tenant" text NOT NULL,
	"mailbox_id" uuid,
	"data" json,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "gaps" (
	"id" uuid PRIMARY KEY NOT NULL,
	"source_id" uuid NOT NULL,
	"reason" text NOT NULL,
	"from_cursor" text,
	"to_cursor" text,
	"recovered_by" text,
	"opened_at" timestamp with time zone DEFAULT now() NOT NULL,
	"recovered_at" timestamp with time zone,
	CONSTRAINT "gaps_once" UNIQUE NULLS NOT DISTINCT("source_id","reason","from_cursor","to_cursor")
);
--> statement-breakpoint
CREATE TABLE "mailboxes" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"address" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "messages" (
	"id" uuid PRIMARY KEY NOT NULL,
	"mailbox_id" uuid NOT NULL,
	"tenant" text NOT NULL,
	"placement" text NOT NULL,
	"from_address" text,
	"subject" text,
	"received_at" timestamp with time zone NOT NULL,
	"is_truncated" boolean NOT NULL,
	"document" json NOT NULL,
	"full_text" text,
	"full_html" text
);
--> statement-breakpoint
CREATE TABLE "raw_mails" (
	"message_id" uuid PRIMARY KEY NOT NULL,
	"bytes" "bytea" NOT NULL,
	"is_compressed" boolean NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sources" (
	"id" uuid PRIMARY KEY NOT NULL,
	"mailbox_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"is_wanted" boolean DEFAULT true NOT NULL,
	"state" text NOT NULL,
	"reason" text,
	"secret" "bytea",
	"previous_secret" "bytea",
	"previous_secret_until" timestamp with time zone,
	"cursor" text,
	"heartbeat" jsonb,
	"last_proven_alive_at" timestamp with time zone,
	"last_message_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "stubs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"source_id" uuid NOT NULL,
	"provider_id" text NOT NULL,
	"status" text NOT NULL,
	"error" text,
	"attempts" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "stubs_once" UNIQUE("source_id","provider_id")
);
--> statement-breakpoint
ALTER TABLE "gaps" ADD CONSTRAINT "gaps_source_id_sources_id_fk" FOREIGN KEY ("source_id") REFERENCES "public"."sources"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sources" ADD CONSTRAINT "sources_mailbox_id_mailboxes_id_fk" FOREIGN KEY ("mailbox_id") REFERENCES "public"."mailboxes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "stubs" ADD CONSTRAINT "stubs_source_id_sources_id_fk" FOREIGN KEY ("source_id") REFERENCES "public"."sources"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "attempts_delivery" ON "attempts" USING btree ("delivery_id","id");--> statement-breakpoint
CREATE INDEX "deliveries_due" ON "deliveries" USING btree ("endpoint_id","next_attempt_at","id") WHERE "deliveries"."status" = 'pending';--> statement-breakpoint
CREATE INDEX "deliveries_leased" ON "deliveries" USING btree ("endpoint_id") WHERE "deliveries"."status" = 'pending' AND "deliveries"."lease_owner" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "events_feed" ON "events" USING btree ("xid","id");--> statement-breakpoint
CREATE INDEX "events_other_than_messages" ON "events" USING btree ("mailbox_id") WHERE "events"."data" IS NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "mailboxes_tenant_address" ON "mailboxes" USING btree ("tenant",lower("address"));--> statement-breakpoint
CREATE INDEX "messages_mailbox" ON "messages" USING btree ("mailbox_id","id");--> statement-breakpoint
CREATE INDEX "sources_mailbox" ON "sources" USING btree ("mailbox_id");