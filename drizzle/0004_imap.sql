CREATE TABLE "imap_folders" (
	"source_id" uuid NOT NULL,
	"path" text NOT NULL,
	"role" text,
	"uid_validity" bigint NOT NULL,
	"uid" bigint NOT NULL,
	"mod_seq" numeric,
	"read_at" timestamp with time zone DEFAULT now() NOT NULL,
	"refusals" integer DEFAULT 0 NOT NULL,
	"parked_until" timestamp with time zone,
	"error" text,
	"strikes" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "imap_folders_source_id_path_pk" PRIMARY KEY("source_id","path")
);
--> statement-breakpoint
CREATE TABLE "workers" (
	"holder" text PRIMARY KEY NOT NULL,
	"capacity" integer NOT NULL,
	"held" integer NOT NULL,
	"started_at" timestamp with time zone DEFAULT now() NOT NULL,
	"seen_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "gaps" ADD COLUMN "folder" text;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "fault" text;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "mode" text;--> statement-breakpoint
ALTER TABLE "sources" ADD COLUMN "alarm" text;--> statement-breakpoint
ALTER TABLE "imap_folders" ADD CONSTRAINT "imap_folders_source_id_sources_id_fk" FOREIGN KEY ("source_id") REFERENCES "public"."sources"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "sources_due_imap" ON "sources" USING btree ("due_at") WHERE "sources"."kind" = 'imap' AND "sources"."is_wanted" AND "sources"."state" <> 'needs_reauth' AND "sources"."state" <> 'disabled';--> statement-breakpoint
CREATE INDEX "sources_leased_imap" ON "sources" USING btree ("lease_owner") WHERE "sources"."kind" = 'imap' AND "sources"."lease_owner" IS NOT NULL;