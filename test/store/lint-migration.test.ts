import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { lintMigration } from '../support/lint-migration.ts';

describe('a migration is told of', () => {
  for (const step of [
    'DROP TABLE "stubs"',
    'ALTER TABLE "stubs" DROP COLUMN "error"',
    'ALTER TABLE "stubs" RENAME COLUMN "error" TO "fault"',
    'ALTER TABLE "stubs" RENAME TO "seen"',
    'ALTER TABLE "sources" ALTER COLUMN "failures" SET DATA TYPE bigint',
    'ALTER TABLE "sources" ALTER COLUMN "failures" TYPE bigint',
    'ALTER TABLE "sources" ALTER COLUMN "reason" SET NOT NULL',
    'ALTER TABLE "sources" ADD COLUMN "color" text NOT NULL',
    'ALTER TABLE "sources" ALTER COLUMN "failures" DROP DEFAULT',
    'CREATE INDEX "messages_subject" ON "messages" USING btree ("subject")',
    'CREATE UNIQUE INDEX "messages_subject" ON "messages" USING btree ("subject")',
    'ALTER TABLE "stubs" ADD CONSTRAINT "fk" FOREIGN KEY ("gap_id") REFERENCES "public"."gaps"("id")',
    "UPDATE events SET tenant = ''",
    'DELETE FROM attempts',
    'DROP FUNCTION mailgress_uuidv7()',
    'LOCK TABLE events',
  ])
    test(step, () => {
      assert.equal(
        lintMigration(`CREATE TABLE "other" ("id" uuid);\n--> statement-breakpoint\n${step};`).length,
        1,
      );
    });
});

describe('a migration may', () => {
  for (const [name, sql] of Object.entries({
    'add a column that may be null': 'ALTER TABLE "sources" ADD COLUMN "color" text;',
    'add one with a default': `ALTER TABLE "sources" ADD COLUMN "color" text DEFAULT '' NOT NULL;`,
    'add a constraint to be checked later':
      'ALTER TABLE "stubs" ADD CONSTRAINT "fk" FOREIGN KEY ("gap_id") REFERENCES "gaps"("id") NOT VALID;',
    'do as it likes with a table of its own': `CREATE TABLE "colors" ("id" uuid PRIMARY KEY NOT NULL);
--> statement-breakpoint
CREATE INDEX "colors_name" ON "colors" USING btree ("name");
--> statement-breakpoint
ALTER TABLE "colors" ADD CONSTRAINT "fk" FOREIGN KEY ("source_id") REFERENCES "public"."sources"("id");`,
    'make a function, whatever that does': `CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM messages; UPDATE events SET tenant = '';
END $$`,
    'speak of it in a comment':
      '-- DROP COLUMN is for the next release\nALTER TABLE "sources" ADD COLUMN "color" text;',
  }))
    test(name, () => assert.deepEqual(lintMigration(sql), []));
});
