import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { MailgressError } from '../../core/errors.ts';

/** What of the script differs from one source to the next. */
export type ScriptConfiguration = {
  /** The base URL that the script posts to, without a trailing slash. */
  url: string;
  sourceId: string;
  /** `whsec_...` */
  secret: string;
  /** Whose mail it is to send: the script starts in no other account. Left out, in any. */
  address?: string;
  version: string;
  /** The largest body that the ingress takes; left out, as much as Apps Script can post. */
  bodyLimitBytes?: number;
};

/**
 * The Apps Script as plain JavaScript, ready to paste: `apps-script/Code.ts` without its types and the remarks on its
 * inner parts, with the configuration in place. It holds the secret.
 *
 * Whatever the values are, they stay values: they go in as JSON strings, which end where JavaScript's do.
 */
export function fillInScript({
  url,
  sourceId,
  secret,
  address,
  version,
  bodyLimitBytes,
}: ScriptConfiguration): string {
  const values: Record<string, string | number | undefined> = {
    MAILGRESS_URL: url,
    SOURCE_ID: sourceId,
    SECRET: secret,
    ACCOUNT: address,
    VERSION: version,
    BODY_LIMIT_BYTES: bodyLimitBytes && Math.min(bodyLimitBytes, APPS_SCRIPT_POST_BYTES),
  };
  let script = readScript();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) script = setConstant(script, name, value);
  }
  return script;
}

/** The script with placeholders for configuration. Built once a process, from the package's own file. */
export function readScript(): string {
  built ??= stripTypes(readFileSync(new URL('../../../apps-script/Code.ts', import.meta.url), 'utf8'));
  return built;
}

let built: string | undefined;

/** https://developers.google.com/apps-script/guides/services/quotas: "URL Fetch POST size". */
const APPS_SCRIPT_POST_BYTES = 50 * 1024 * 1024;

function setConstant(script: string, name: string, value: string | number): string {
  const line = new RegExp(`^const ${name} = .*;$`, 'm');
  if (!line.test(script)) throw new MailgressError('internal', `The Apps Script has no constant ${name}`);
  // JSON leaves these as they are, and a line ends at them: for whoever reads it, and for the expression above.
  const json = JSON.stringify(value).replace(/[\u2028\u2029]/g, (end) =>
    end === '\u2028' ? '\\u2028' : '\\u2029',
  );
  // By a function: in a replacement string `$&` and its like have a meaning.
  return script.replace(line, () => `const ${name} = ${json};`);
}

/** TypeScript to JavaScript as a person would have written it: without types, and without the holes they leave. */
function stripTypes(source: string): string {
  return withoutHoles(
    source,
    withoutWarning(() => stripTypeScriptTypes(source)),
  );
}

/**
 * Node blanks types out, so that every character keeps its place. What was blanked is told by comparison and goes; so
 * does a line on which nothing else was, and a space that would now be left before a bracket or an end.
 */
function withoutHoles(source: string, stripped: string): string {
  let text = '';
  let isHole = false;
  for (let i = 0; i < stripped.length; i++) {
    const isBlank = stripped.charAt(i).trim() === '';
    const isBlanked = isBlank && source.charAt(i).trim() !== '';
    if (isBlanked) {
      if (!isHole) text += HOLE;
      isHole = true;
    } else if (!isBlank || !isHole) {
      text += stripped.charAt(i);
      isHole = false;
    } else if (source.charAt(i) === '\n' || !isInsideHole(source, stripped, i)) {
      // White space behind a hole: not part of it.
      text += stripped.charAt(i);
      isHole = isInsideHole(source, stripped, i);
    }
  }
  return (
    text
      .replace(new RegExp(`^[ ${HOLE}]*${HOLE}[ ${HOLE}]*\n`, 'gm'), '')
      .replace(new RegExp(` ${HOLE}+(?=[;,)\\]])`, 'g'), '')
      .replaceAll(HOLE, '')
      // What is pasted stays under 30,000 bytes: remarks on inner parts are read in the source.
      .replace(/^ +\/\/ .*\n|^\/\*\* .* \*\/\n(?=function \w+_\()/gm, '')
      .replace(/[ \t]+$/gm, '')
      .replace(/\n{3,}/g, '\n\n')
      .trimEnd()
      .concat('\n')
  );
}

/** A character that no source of ours holds. */
const HOLE = '\uE000';

/** Whether white space lies between two blanked characters. */
function isInsideHole(source: string, stripped: string, from: number): boolean {
  for (let i = from; i < stripped.length; i++) {
    if (stripped.charAt(i).trim() !== '') return false;
    if (source.charAt(i).trim() !== '') return true;
  }
  return false;
}

/**
 * Node says once a process that stripping types is an experimental feature of it (24.21). That is for us to know and
 * to test, not for whoever reads the service's standard error.
 */
function withoutWarning<T>(run: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return run();
  } finally {
    process.emitWarning = emitWarning;
  }
}
