import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';

/** What a key may do; each role may also do what those before it may. */
export const roleSchema = z.enum(['reader', 'operator', 'admin']);
export type Role = z.infer<typeof roleSchema>;

/** Whether a role may do what another is needed for. */
export function isRoleEnough(role: Role, needed: Role): boolean {
  return roleSchema.options.indexOf(role) >= roleSchema.options.indexOf(needed);
}

const time = z.iso.datetime();

export const apiKeySchema = z.object({
  id: z.string(),
  role: roleSchema,
  tenant: z.string().nullable().describe('Null: all tenants'),
  description: z.string(),
  lastUsedAt: time.nullable().describe('To the minute'),
  createdAt: time,
});
export type ApiKey = z.infer<typeof apiKeySchema>;

/** A new key: `mgk_` and 32 random bytes in base64url. */
export function createKey(): string {
  return `mgk_${randomBytes(32).toString('base64url')}`;
}

/** Whether a text looks like a key of `createKey`, so that it is worth looking for. */
export function isKey(text: string): boolean {
  return /^mgk_[A-Za-z0-9_-]{43}$/.test(text);
}

/** What is kept of a key, 32 bytes. It has so many random bits that nothing slower than SHA-256 is needed. */
export function hashKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
