import { ago } from './ago.ts';
import type { DoctorContext } from './context.ts';
import { type Finding, fail, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

/** Each script says each 15 minutes that it is there; three missed, and a minute for its trigger. */
const SILENT_AFTER_MS = 46 * 60_000;

type Facts = DoctorContext['sources'][number];

export function appsScriptChecks({ sources, version }: DoctorContext): Check[] {
  return sources
    .filter(({ kind }) => kind === 'apps-script')
    .map((source) => ({
      id: `apps-script.${source.id}`,
      area: 'apps script',
      subject: source.address,
      look: () => judge(source, version),
    }));
}

function judge(
  { id, isWanted, wantedAt, heartbeat, lastProvenAliveAt, now }: Facts,
  version: string,
): Finding {
  if (!isWanted) return ok('stopped');
  const paste = `\`mailgress source script ${id}\` prints it, ready to paste`;
  if (lastProvenAliveAt === null) return warn('nothing has come yet', `install the script: ${paste}`);
  const heard = `heard of ${ago(lastProvenAliveAt, now)}`;
  // A program of one's own sends mail and says nothing of itself.
  if (heartbeat === null) return ok(heard);
  const isPaused = heartbeat.paused === true;
  const lastMs = Math.max(lastProvenAliveAt.getTime(), wantedAt.getTime());
  if (!isPaused && now.getTime() - lastMs > SILENT_AFTER_MS) {
    return fail(
      `silent: last ${heard}`,
      'look at its executions in Apps Script, and run `install` there again',
    );
  }
  if (isPaused) return warn(`paused, ${heard}`, 'run `resume` in Apps Script');
  const runs = typeof heartbeat.version === 'string' ? heartbeat.version : undefined;
  if (runs !== undefined && runs !== version) {
    return warn(`${heard}; it is version ${runs}, and ${version} is here`, `paste it anew: ${paste}`);
  }
  return ok(`${heard}${runs === undefined ? '' : `, version ${runs}`}`);
}
