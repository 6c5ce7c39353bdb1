import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { MailgressError } from '../core/errors.ts';

/** What `endpoint add` and `endpoint update` can set. */
export type SettingOptions = {
  types?: string;
  description?: string;
  rules?: string;
  order?: string;
  maxInFlight?: string;
  rate?: string;
  header?: string[];
};

export function addSettingOptions(command: Command): Command {
  return command
    .option('--types <types>', 'comma-separated event types; message.received alone where nothing is said')
    .option('--description <text>', 'for whoever looks at the list')
    .option('--rules <json or @file>', 'which events are sent, and when: see `rules` in the reference')
    .option('--order <order>', 'mailbox: the mails of a mailbox one after the other; or none')
    .option('--max-in-flight <number>', 'webhooks under way at a time')
    .option('--rate <number>', 'webhooks a second at most; or none')
    .option(
      '--header <name: value>',
      'sent along with each webhook; may be repeated, and replaces those there are',
      (line: string, lines: string[] = []) => [...lines, line],
    );
}

/**
 * The settings that are given, as the API takes them; whether they are right is for it to say.
 *
 * @throws MailgressError `usage` or `no_input` for what cannot be sent there at all.
 */
export async function settingsOf(options: SettingOptions): Promise<Record<string, unknown>> {
  const { types, description, rules, order, maxInFlight, rate, header } = options;
  return {
    ...(types !== undefined && { types: types.split(',') }),
    ...(description !== undefined && { description }),
    ...(rules !== undefined && { rules: await readRules(rules) }),
    ...(order !== undefined && { order: order === 'none' ? null : order }),
    ...(maxInFlight !== undefined && { maxInFlight: parseNumber('--max-in-flight', maxInFlight) }),
    ...(rate !== undefined && { ratePerSecond: rate === 'none' ? null : parseNumber('--rate', rate) }),
    ...(header !== undefined && { headers: Object.fromEntries(header.map(parseHeader)) }),
  };
}

async function readRules(given: string): Promise<unknown> {
  const path = given.startsWith('@') ? given.slice(1) : undefined;
  const text =
    path === undefined
      ? given
      : await readFile(path, 'utf8').catch((cause) => {
          throw new MailgressError('no_input', `Cannot read ${path}: ${cause.message}`, { cause });
        });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MailgressError('usage', '--rules: must be JSON, or @ and a file that holds it', { cause });
  }
}

function parseNumber(option: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number)) return number;
  throw new MailgressError('usage', `${option} ${text}: must be a whole number`);
}

/** The value may be a secret: it is not repeated. */
function parseHeader(line: string): [name: string, value: string] {
  const at = line.indexOf(':');
  if (at > 0) return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  throw new MailgressError('usage', "--header: must be 'Name: value'");
}
