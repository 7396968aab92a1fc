import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

export interface Result {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command line to its end, whatever that is. */
export async function execute(
  commandLine: readonly string[],
  stdin = '',
  env: NodeJS.ProcessEnv = {},
): Promise<Result> {
  const [file, ...args] = commandLine
  const child = spawn(file!, args, { env: { ...process.env, ...env } })
  child.stdin.on('error', () => {}).end(stdin)
  const [stdout, stderr, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  return { code, signal, stdout, stderr }
}
