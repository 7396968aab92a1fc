import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A mount whose server is away: FUSE, with nobody who answers. Whoever asks it for a file waits, and can only be killed.
 * In the mount namespace of one command alone, so that nothing else of this machine meets it.
 */
export interface HungMount {
  /** In it, every file hangs. */
  readonly folder: string
  /** To stand before a command line: ip-netns(8) has given that a mount namespace. */
  readonly wrapper: readonly string[]
  /** From now on there is nobody at all, and every file of it is an error (ENOTCONN). */
  end(): void
}

export function hungMount(parent: string): HungMount {
  const folder = join(parent, 'hung')
  const holder = `${folder}.pid`
  mkdirSync(folder, { recursive: true })
  const script = `exec 3<>/dev/fuse
mount -i -t fuse hung '${folder}' -o fd=3,rootmode=40000,user_id=0,group_id=0 || exit 1
sleep 300 >/dev/null 2>&1 </dev/null &
echo $! > '${holder}'
exec 3>&-
exec "$@"`
  return {
    folder,
    wrapper: ['sh', '-c', script, 'sh'],
    end: () => void process.kill(Number(readFileSync(holder, 'utf8')), 'SIGKILL'),
  }
}
