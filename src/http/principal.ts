import type { Context } from 'hono';
import { MailgressError } from '../core/errors.ts';
import type { Principal } from '../store/api-keys.ts';

declare module 'hono' {
  interface ContextVariableMap {
    principal: Principal;
  }
}

/**
 * Who asks; as a `Scope`, whose rows it may see.
 *
 * @throws MailgressError `internal` on a route that no key was asked for: nothing is anyone's there.
 */
export function principalOf(c: Context): Principal {
  const principal: Principal | undefined = c.get('principal');
  if (principal !== undefined) return principal;
  throw new MailgressError('internal', 'This route asks for no key');
}
