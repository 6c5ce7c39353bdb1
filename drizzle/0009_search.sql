CREATE TABLE "message_search" (
	"message_id" uuid PRIMARY KEY NOT NULL,
	"words" "tsvector" NOT NULL,
	"is_stale" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE TABLE "search_cursor" (
	"id" integer PRIMARY KEY NOT NULL,
	"xid" "xid8" NOT NULL,
	"event_id" uuid NOT NULL,
	"lease_owner" uuid,
	"lease_until" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "message_search" ADD CONSTRAINT "message_search_message_id_messages_id_fk" FOREIGN KEY ("message_id") REFERENCES "public"."messages"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "message_search_words" ON "message_search" USING gin ("words");--> statement-breakpoint
CREATE INDEX "message_search_stale" ON "message_search" USING btree ("message_id") WHERE "message_search"."is_stale";--> statement-breakpoint
CREATE INDEX "events_tenant_feed" ON "events" USING btree ("tenant","xid","id");--> statement-breakpoint
CREATE INDEX "messages_tenant" ON "messages" USING btree ("tenant","id");
--> statement-breakpoint
-- From the beginning of the log: what is stored already is read too.
INSERT INTO search_cursor (id, xid, event_id) VALUES (1, '0', '00000000-0000-0000-0000-000000000000');
