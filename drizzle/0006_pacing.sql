CREATE TABLE "subject_groups" (
	"endpoint_id" uuid NOT NULL,
	"replay_id" uuid NOT NULL,
	"key" uuid NOT NULL,
	"event_id" uuid NOT NULL,
	"opened_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "subject_groups_endpoint_id_replay_id_key_pk" PRIMARY KEY("endpoint_id","replay_id","key")
);
--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "ignores_rules" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "paced_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "header_names" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
CREATE INDEX "deliveries_lanes" ON "deliveries" USING btree ("endpoint_id","replay_id","lane","event_id") WHERE "deliveries"."status" = 'pending' AND "deliveries"."lane" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "deliveries_failed" ON "deliveries" USING btree ("endpoint_id","completed_at") WHERE "deliveries"."status" = 'failed';--> statement-breakpoint
CREATE INDEX "deliveries_replayed" ON "deliveries" USING btree ("replay_id","status") WHERE "deliveries"."replay_id" <> '00000000-0000-0000-0000-000000000000';