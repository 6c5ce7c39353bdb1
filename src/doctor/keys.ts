import { readKeyAges } from '../store/standing.ts';
import type { DoctorContext } from './context.ts';
import { type Finding, ok, warn } from './report.ts';
import type { Check } from './run-checks.ts';

const area = 'keys';
const OLD_DAYS = 365;
/** Who was given a key needs some days to use it. */
const UNUSED_DAYS = 7;
const MAX_SHOWN = 3;

export function keyChecks({ database: { sql } }: DoctorContext): Check[] {
  const ages = () => readKeyAges(sql, { oldDays: OLD_DAYS, unusedDays: UNUSED_DAYS });
  return [
    {
      id: 'keys.age',
      area,
      subject: 'age',
      async look() {
        const { total, old } = await ages();
        if (total === 0) return ok('there is the admin key alone');
        if (old.length === 0) return ok(`${total}, none older than a year`);
        return warn(
          `${old.length} older than a year: ${some(old)}`,
          'make new ones (`mailgress key add`), and revoke these (`mailgress key revoke ID`)',
        );
      },
    },
    {
      id: 'keys.use',
      area,
      subject: 'use',
      async look(): Promise<Finding> {
        const { total, unused } = await ages();
        if (unused.length === 0) return ok(total === 0 ? 'none beside it' : 'all were used, or are new');
        return warn(
          `${unused.length} never used: ${some(unused)}`,
          'revoke what nobody needs: `mailgress key revoke ID`',
        );
      },
    },
  ];
}

function some(ids: readonly string[]): string {
  const more = ids.length > MAX_SHOWN ? ` and ${ids.length - MAX_SHOWN} more` : '';
  return `${ids.slice(0, MAX_SHOWN).join(', ')}${more}`;
}
