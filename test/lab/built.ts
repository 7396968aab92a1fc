import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { isCurrent } from '../../scripts/build.ts'

const root = join(import.meta.dirname, '../..')

/** The built program in dist/, made anew when src/ has changed since. */
export const program = built()

/** The command line of the program as users start it, by the first line of its file. */
export function commandLine(args: readonly string[], env: NodeJS.ProcessEnv = {}): [string, ...string[]] {
  const variables = {
    // tap adds to those of each child a module that records what it loads.
    NODE_OPTIONS: '',
    NODE_V8_COVERAGE: process.env.WG_PUNCHHOLE_COVERAGE ?? '',
    ...env,
    PATH: `${dirname(process.execPath)}:${env.PATH ?? process.env.PATH}`,
  }
  return ['env', ...Object.entries(variables).map(([name, value]) => `${name}=${value}`), program, ...args]
}

/** The same as text for a shell. */
export function shellCommand(args: readonly string[] = []): string {
  return commandLine(args)
    .map(word => `'${word.replaceAll("'", "'\\''")}'`)
    .join(' ')
}

/** Of several tests that start at the same time, the first one builds and the others wait for it. */
function built(): string {
  const dist = join(root, 'dist')
  const script = join(root, 'scripts/build.ts')
  if (!isCurrent(dist))
    execFileSync('flock', [script, process.execPath, script, dist, '--if-stale'], { stdio: 'inherit' })
  return join(dist, 'main.js')
}
