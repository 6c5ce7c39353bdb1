import PostalMime from 'postal-mime';
import { normalize } from '../src/core/normalize.ts';
import { toRawMail } from '../src/sources/raw.ts';
import { median } from './report.ts';

/**
 * CPU time of the parser alone and of normalize, in microseconds a mail. The two take turns on one mail, so that a busy
 * machine and a garbage collection hit both; medians are told.
 *
 * @param rounds how often a turn reads the mail.
 */
export async function measureReading(
  bytes: Uint8Array,
  rounds: number,
  turns: number,
): Promise<{ parserUs: number; normalizeUs: number }> {
  const mail = toRawMail(bytes);
  const parserUs: number[] = [];
  const normalizeUs: number[] = [];
  // The first turns are not counted: they are of code that is not compiled yet.
  for (let turn = -Math.floor(turns / 3); turn < turns; turn += 1) {
    const parser = await cpuUs(() => PostalMime.parse(bytes, { forceRfc822Attachments: true }), rounds);
    const whole = await cpuUs(() => normalize(mail, new Date()), rounds);
    if (turn < 0) continue;
    parserUs.push(parser);
    normalizeUs.push(whole);
  }
  return { parserUs: median(parserUs), normalizeUs: median(normalizeUs) };
}

async function cpuUs(run: () => Promise<unknown>, rounds: number): Promise<number> {
  const before = process.cpuUsage();
  for (let round = 0; round < rounds; round += 1) await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / rounds;
}
