CREATE TABLE "gmail_watches" (
	"account" text PRIMARY KEY NOT NULL,
	"expires_at" timestamp with time zone,
	"due_at" timestamp with time zone DEFAULT now() NOT NULL,
	"failures" integer DEFAULT 0 NOT NULL,
	"error" text
);
--> statement-breakpoint
ALTER TABLE "gaps" ADD COLUMN "since" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "gaps" ADD COLUMN "until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "gaps" ADD COLUMN "page_token" text;--> statement-breakpoint
ALTER TABLE "gaps" ADD COLUMN "listed_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "gaps" ADD COLUMN "listed" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "gaps" ADD COLUMN "recovered" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "account" text;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "credentials" "bytea";--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "settings" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "hinted_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "hinted_history_id" numeric;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "synced_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "due_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "slow_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "failures" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "lag_looks" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "settling_cursor" text;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "settling_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "audited_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "lease_owner" uuid;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "lease_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "fence" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "stubs" ADD COLUMN "due_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "stubs" ADD COLUMN "key" uuid;--> statement-breakpoint
ALTER TABLE "stubs" ADD COLUMN "gap_id" uuid;--> statement-breakpoint
CREATE UNIQUE INDEX "sources_one_gmail" ON "sources" USING btree ("mailbox_id") WHERE "sources"."kind" = 'gmail';--> statement-breakpoint
CREATE INDEX "sources_due_gmail" ON "sources" USING btree ("due_at") WHERE "sources"."kind" = 'gmail' AND "sources"."is_wanted" AND "sources"."state" <> 'needs_reauth' AND "sources"."state" <> 'disabled';--> statement-breakpoint
CREATE INDEX "sources_account" ON "sources" USING btree ("account") WHERE "sources"."account" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "stubs_due" ON "stubs" USING btree ("source_id","due_at") WHERE "stubs"."status" = 'pending';