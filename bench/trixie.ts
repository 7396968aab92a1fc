import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const script = join(import.meta.dirname, '../scripts/haproxy-trixie.sh')

/**
 * Sets HAPROXY_TRIXIE to Debian 13's HAProxy, which a machine keeps once it has it; resolves to why it cannot be had,
 * where it cannot.
 */
export async function provideTrixie(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  if (env.HAPROXY_TRIXIE) return undefined
  try {
    const { stdout } = await promisify(execFile)('bash', [script], { timeout: 600_000 })
    env.HAPROXY_TRIXIE = stdout.trim()
    return undefined
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string }
    return stderr.trim().split('\n').at(-1) || message
  }
}
