import assert from 'node:assert/strict';
import { dedupeKeyOf } from '../../src/core/dedupe.ts';
import { type MailContent, mailContentSchema } from '../../src/core/message.ts';
import { normalize } from '../../src/core/normalize.ts';
import { rawMail } from '../support/raw-mail.ts';

/** Longest CPU time that one mail of up to 256 kB may take, and how much more one of twice that, and so on. */
export const LIMIT_MS = 1_000;
const LIMITED_BYTES = 256 * 1024;

/**
 * Asserts what holds for any bytes: they become a message, soon, that is valid and can be stored, and the same one
 * again. Tells the CPU time of this thread that it took, in ms: on a busy machine the clock says nothing.
 */
export async function checkMail(bytes: Uint8Array): Promise<number> {
  const mail = rawMail(bytes);
  const before = process.threadCpuUsage();
  const first = await normalize(mail, new Date(0));
  const { user, system } = process.threadCpuUsage(before);
  const cpuMs = (user + system) / 1000;
  const limitMs = LIMIT_MS * Math.max(1, bytes.length / LIMITED_BYTES);
  assert.ok(cpuMs < limitMs, `took ${cpuMs} ms`);

  const stored = JSON.stringify(first);
  assert.ok(!/\\u0000|\\ud[89a-f]/.test(stored) && stored.isWellFormed(), 'a string cannot be stored');
  const parsed: MailContent = mailContentSchema.parse(first.content);
  // As long as before: zod leaves out what it does not know, and has fields in an order of its own.
  assert.equal(JSON.stringify(parsed).length, JSON.stringify(first.content).length);
  assert.equal(dedupeKeyOf(mail, first.content).length, 16);
  assert.equal(first.content.sizeBytes, bytes.length);
  assert.equal(JSON.stringify(await normalize(mail, new Date(0))), stored, 'another message the second time');
  return cpuMs;
}
