/** A step of a migration that hurts processes of the version before, or that stand in line behind it. */
export type Finding = { step: string; why: string };

type Rule = {
  pattern: RegExp;
  why: string;
  unless?: (step: string, created: ReadonlySet<string>) => boolean;
};

const isOfNewTable = (step: string, created: ReadonlySet<string>) => {
  const table = /\b(?:ON|TABLE|UPDATE|FROM|INTO)\s+(?:ONLY\s+)?(?:"?public"?\.)?"?(\w+)"?/i.exec(step)?.[1];
  return table !== undefined && created.has(table.toLowerCase());
};

/** Of what a migration of ours may hold; each is one transaction, and what it locks stays locked until its end. */
const RULES: Rule[] = [
  {
    pattern: /^DROP TABLE\b/i,
    why: 'the version before still uses it: drop it a release after the last use',
  },
  {
    pattern: /\bDROP COLUMN\b/i,
    why: 'the version before still names it: drop it a release after the last use',
  },
  { pattern: /^DROP FUNCTION\b/i, why: 'the version before may still call it: drop it a release later' },
  {
    pattern: /\bRENAME\b/i,
    why: 'the version before knows the old name: add the new one, and drop the old one later',
  },
  {
    pattern: /\bALTER COLUMN\b.*?\b(SET DATA )?TYPE\b/is,
    why: 'rewrites the table behind an exclusive lock, and answers other types: add a column instead',
    unless: isOfNewTable,
  },
  {
    pattern: /\bSET NOT NULL\b/i,
    why: 'the version before may write none, and all rows are read behind an exclusive lock',
    unless: isOfNewTable,
  },
  {
    pattern: /\bADD COLUMN\b(?![^,]*\bDEFAULT\b)[^,]*\bNOT NULL\b/is,
    why: 'the version before writes rows without it: give it a default',
    unless: isOfNewTable,
  },
  {
    pattern: /\bDROP DEFAULT\b/i,
    why: 'the version before may rely on it: drop it a release later',
    unless: isOfNewTable,
  },
  {
    pattern: /^CREATE (UNIQUE )?INDEX\b/i,
    why: 'nobody writes to the table while it is built: think of the largest one there is, and say how long it takes',
    unless: isOfNewTable,
  },
  {
    pattern: /\bADD CONSTRAINT\b(?!.*\bNOT VALID\b)/is,
    why: 'all rows are checked behind a lock, and the version before may write what it forbids: NOT VALID first',
    unless: isOfNewTable,
  },
  {
    pattern: /^(UPDATE|DELETE FROM)\b/i,
    why: 'its rows stay locked until the migration ends: think of the largest table there is, or do it in parts, at run time',
    unless: isOfNewTable,
  },
  { pattern: /^(LOCK|VACUUM|CLUSTER|REINDEX|TRUNCATE)\b/i, why: 'everybody else stands still meanwhile' },
];

/** @param sql a migration, as drizzle writes it. */
export function lintMigration(sql: string): Finding[] {
  const steps = sql
    .replace(/^\s*--(?!> ).*$/gm, '')
    .split('--> statement-breakpoint')
    .map((step) => step.replace(/\s+/g, ' ').trim().replace(/;$/, ''))
    .filter((step) => step !== '');
  const created = new Set(
    steps.flatMap(
      (step) => /^CREATE TABLE (?:IF NOT EXISTS )?"?(\w+)"?/i.exec(step)?.[1]?.toLowerCase() ?? [],
    ),
  );
  return steps.flatMap((step) =>
    // The body of a function is run when it is called.
    (/^CREATE (OR REPLACE )?FUNCTION\b/i.test(step) ? [] : RULES)
      .filter(({ pattern, unless }) => pattern.test(step) && unless?.(step, created) !== true)
      .map(({ why }) => ({ step: step.slice(0, 200), why })),
  );
}
