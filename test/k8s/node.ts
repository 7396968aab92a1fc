import { execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Running } from '../lab/running.ts'

/** The node's tools, as the tests on it use them. */

const run = promisify(execFile)

export const chart = join(import.meta.dirname, '../../chart')
export const image = { repository: 'localhost/wg-punchhole', tag: 'test', pullPolicy: 'Never' }

export const kubectl = async (...args: string[]) =>
  (await run('kubectl', args, { timeout: 120_000 })).stdout.trim()
export const helm = async (...args: string[]) => (await run('helm', args, { timeout: 240_000 })).stdout.trim()

/** nginx behind a Service `web`, which sees the PROXY header's client. */
export async function serveWeb(namespace: string): Promise<void> {
  await kubectl('create', 'namespace', namespace)
  await kubectl('-n', namespace, 'create', 'deployment', 'web', '--image=localhost/nginx:test')
  await kubectl('-n', namespace, 'expose', 'deployment', 'web', '--port=80')
  await kubectl('-n', namespace, 'wait', '--for=condition=Available', 'deployment/web', '--timeout=60s')
}

/** A namespace that admits the pod. */
export async function makePrivileged(namespace: string): Promise<void> {
  await kubectl('create', 'namespace', namespace)
  await kubectl('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=privileged')
}

/** A port of the machine's loopback that leads to one of a pod. */
export async function portForward(
  namespace: string,
  workload: string,
  port: number,
): Promise<{ url: string } & AsyncDisposable> {
  const args = ['-n', namespace, 'port-forward', '--address', '127.0.0.1', workload, `:${port}`]
  const forward = new Running(spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'pipe'] }))
  let url: string | undefined
  await until(async () => {
    url = /^Forwarding from (127\.0\.0\.1:\d+) ->/m.exec(forward.output)?.[1]
    if (url === undefined) throw new Error(`kubectl port-forward: ${forward.output}`)
  }, 30_000)
  return { url: `http://${url}`, [Symbol.asyncDispose]: () => forward.stop() }
}

/** Takes the release `home` out of its namespace, and the namespaces away; nothing need be there. */
export async function remove(release: string, ...namespaces: string[]): Promise<void> {
  const uninstall = ['uninstall', 'home', '--namespace', release, '--ignore-not-found', '--wait']
  await run('helm', uninstall).catch(() => {})
  const remove = ['delete', 'namespace', release, ...namespaces, '--ignore-not-found', '--timeout=60s']
  await run('kubectl', remove).catch(() => {})
}

/** Tries until it succeeds, and gives how many milliseconds that took. */
export async function until(attempt: () => Promise<unknown>, ms: number): Promise<number> {
  const start = Date.now()
  for (;;) {
    try {
      await attempt()
      return Date.now() - start
    } catch (error) {
      if (Date.now() - start > ms) throw error
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}
