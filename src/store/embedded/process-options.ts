import type { SpawnOptions } from 'node:child_process';
import type { SystemUser } from './user.ts';

/** How PostgreSQL's programs are run: as `user`, where it can enter, without the secrets of our environment. */
export function processOptions(user: SystemUser | undefined, cwd: string) {
  return {
    cwd,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    windowsHide: true,
    ...(user && { uid: user.uid, gid: user.gid }),
  } satisfies SpawnOptions;
}
