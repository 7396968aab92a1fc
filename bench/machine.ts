import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { version } from '../src/version.ts'
import { wireguardGo } from './network.ts'

/** Where, and with what, a run was made. */
export interface Machine {
  readonly processor: string
  readonly processors: number
  /** Gigabytes. */
  readonly memory: number
  readonly kernel: string
  readonly versions: Readonly<Record<string, string>>
}

export function machine(env: NodeJS.ProcessEnv): Machine {
  const others = [
    ['haproxy-trixie', env.HAPROXY_TRIXIE, '-v'],
    ['frp', env.FRPS, '--version'],
    ['rathole', env.RATHOLE, '--version'],
    ['chisel', env.CHISEL, '--version'],
  ] as const
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    processors: availableParallelism(),
    memory: Math.round(totalmem() / 1e9),
    kernel: release(),
    versions: {
      'wg-punchhole': `${version} ${commit()}`.trim(),
      Node: process.version,
      'wireguard-go': readFileSync(`${wireguardGo}.version`, 'utf8').trim(),
      HAProxy: versionOf('haproxy', '-v'),
      nginx: versionOf('nginx', '-v'),
      wrk: versionOf('wrk', '-v'),
      socat: versionOf('socat', '-V'),
      ...Object.fromEntries(
        others.flatMap(([name, program, flag]) =>
          program === undefined ? [] : [[name, versionOf(program, flag)]],
        ),
      ),
    },
  }
}

/** The first with a number: some name themselves before that. */
function versionOf(program: string, flag: string): string {
  const { stdout, stderr } = spawnSync(program, [flag], { encoding: 'utf8' })
  const lines = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n')
  return (lines.find(line => /\d/.test(line)) ?? lines[0]!).trim()
}

/** Of the sources; empty outside a repository. */
function commit(): string {
  const git = (...args: string[]) =>
    spawnSync('git', args, { encoding: 'utf8', cwd: import.meta.dirname }).stdout?.trim() ?? ''
  const changed = git('status', '--porcelain', '--untracked-files=no') !== ''
  return git('rev-parse', '--short', 'HEAD') + (changed ? ' with changes' : '')
}
