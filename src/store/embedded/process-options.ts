import type { SpawnOptions } from 'node:child_process';
import type { SystemUser } from './user.ts';

/** How PostgreSQL's programs are run: as `user`, in a directory it can enter, and without what our environment holds. */
export function processOptions(user: SystemUser | undefined, cwd: string) {
  return {
    cwd,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    windowsHide: true,
    ...(user && { uid: user.uid, gid: user.gid }),
  } satisfies SpawnOptions;
}
