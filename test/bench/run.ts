import { execFile } from 'node:child_process'
import { join } from 'node:path'

const script = join(import.meta.dirname, '../../bench/bench.ts')

/** Runs the benchmark to its end. */
export async function bench(...args: string[]) {
  const { promise, resolve } = Promise.withResolvers<{ code: unknown; stdout: string; stderr: string }>()
  const child = execFile(process.execPath, [script, ...args], (error, stdout, stderr) =>
    resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
  )
  return { ...(await promise), pid: child.pid }
}
