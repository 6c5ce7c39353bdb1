import assert from 'node:assert/strict';
import postgres, { type Sql } from 'postgres';
import { examineConfigured, exitCodeOf } from '../../src/cli/doctor.ts';
import { readConfig } from '../../src/config.ts';
import type { Examination } from '../../src/doctor/doctor.ts';
import { type Level, type Line, lineSchema, type Report, reportSchema } from '../../src/doctor/report.ts';
import type { ServiceOptions } from '../../src/service.ts';
import { createTestDatabase } from '../support/database.ts';
import { type Ended, startMailgress } from '../support/process.ts';
import { ADMIN_TOKEN, SECRET_KEY, startTestService, type TestService } from '../support/service.ts';

/** A service, and the doctor beside it, by environment as the command is. */
export type DoctorStage = AsyncDisposable & {
  service: TestService;
  sql: Sql;
  env: Record<string, string>;
  /** What `mailgress doctor` does before it prints, without a process for each; `env` goes over the usual. */
  examine(what?: Asked, env?: Record<string, string>): Promise<Examined>;
};

/** A busy machine is no fault. */
const LIMITS = { checkMs: 30_000, totalMs: 90_000 };

type Asked = Omit<Examination, 'limits'> & { limits?: typeof LIMITS };
export type Examined = { report: Report; code: number; text: string };

export async function startDoctorStage({
  env = {},
  start = startTestService,
  ...options
}: Partial<ServiceOptions> & {
  env?: Record<string, string>;
  start?: (options: Partial<ServiceOptions>) => Promise<TestService>;
} = {}): Promise<DoctorStage> {
  const database = await createTestDatabase();
  const sql = postgres(database.url, { max: 2, onnotice: () => {} });
  const service = await start({ databaseUrl: database.url, ...options });
  const usual = {
    DATABASE_URL: database.url,
    MAILGRESS_ADMIN_TOKEN: ADMIN_TOKEN,
    MAILGRESS_SECRET_KEY: SECRET_KEY,
    MAILGRESS_PUBLIC_URL: service.address,
    MAILGRESS_EGRESS_ALLOW: '127.0.0.0/8,::1',
    ...env,
  };
  return {
    service,
    sql,
    env: usual,
    examine: (what, over) => examine({ ...usual, ...over }, what, options.imapCa),
    async [Symbol.asyncDispose]() {
      await service.stop();
      await sql.end({ timeout: 5 });
      await database.drop();
    },
  };
}

/** Also holds what is true of every run: it counts, each line has its own id, and no secret of the environment is told. */
export async function examine(
  env: Record<string, string>,
  what: Asked = {},
  imapCa?: string,
): Promise<Examined> {
  const report = await examineConfigured(() => readConfig(env), { limits: LIMITS, ...what }, imapCa);
  const text = JSON.stringify(reportSchema.parse(report));
  const count = (level: Level) => report.checks.filter((check) => check.level === level).length;
  assert.deepEqual([report.failures, report.warnings], [count('fail'), count('warn')]);
  const ids = report.checks.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, 'each line has an id of its own');
  const { DATABASE_URL = '', MAILGRESS_ADMIN_TOKEN, MAILGRESS_SECRET_KEY } = env;
  const password = URL.parse(DATABASE_URL)?.password;
  for (const secret of [MAILGRESS_ADMIN_TOKEN, MAILGRESS_SECRET_KEY, password]) {
    assert.ok(!secret || !text.includes(secret), text);
  }
  return { report, code: exitCodeOf(report), text };
}

/** The command in a process of its own. */
export async function runDoctor(args: readonly string[], env: Record<string, string>): Promise<Ended> {
  await using command = startMailgress(['doctor', ...args], env);
  return await command.ended;
}

export function lineOf({ report }: Pick<Examined, 'report'>, id: string): Line {
  return lineSchema.parse(report.checks.find((check) => check.id === id));
}

/** Holds what a line says, and what it tells to do. */
export function assertLine(
  examined: Pick<Examined, 'report'>,
  id: string,
  level: Level,
  says: RegExp,
  advises?: RegExp,
): void {
  const line = lineOf(examined, id);
  assert.equal(line.level, level, JSON.stringify(line));
  assert.match(line.message, says);
  if (level === 'ok') assert.equal(line.advice, null);
  else assert.match(line.advice ?? '', advises ?? /./);
}

/** Those that are bad, by id. */
export function failing({ report }: Pick<Examined, 'report'>): string[] {
  return report.checks.filter(({ level }) => level === 'fail').map(({ id }) => id);
}
