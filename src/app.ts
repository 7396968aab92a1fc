import { once } from 'node:events'
import { adminUrl, removeRunFile, writeRunFile } from './admin/client.ts'
import { Health } from './admin/health.ts'
import { AdminServer } from './admin/server.ts'
import { endStatus } from './admin/status.ts'
import type { Config } from './config/config.ts'
import { messageOf } from './errors.ts'
import { Forwarder } from './forward/forwarder.ts'
import { createLog, type Log } from './log.ts'
import type { Reason } from './reason.ts'
import { Names, type ResolveOptions } from './resolve.ts'
import { findBinary } from './tunnel/binary.ts'
import { Tunnel } from './tunnel/tunnel.ts'
import { version } from './version.ts'

/** When to end: `drain` is aborted by the first SIGTERM or SIGINT, `now` by the second. */
export interface Stop {
  readonly drain: AbortSignal
  readonly now: AbortSignal
}

/**
 * One end, from start to stop. Resolves once everything is taken down: true when every step of that was given its
 * time, false when a second signal cut it short. Rejects with the `EndError` that kept it from starting.
 */
export async function runEnd(
  config: Config,
  warnings: readonly string[],
  runFolder: string,
  stop: Stop,
): Promise<boolean> {
  const log = createLog(config.log.level)
  for (const warning of warnings) log.warn({ warning }, 'config warning')
  const startedAt = Date.now()
  let phase: 'starting' | 'running' | 'draining' = 'starting'
  await using cleanup = new AsyncDisposableStack()

  const names = new Names()
  const resolve = (host: string, options?: ResolveOptions) => names.resolve(host, options)
  const binary = config.tunnel && (await findBinary())
  const tunnel = config.tunnel && new Tunnel(config.tunnel, { log, binary: binary!, resolve })
  const forwarder = new Forwarder(config.forwards, { log, logConnections: config.log.connections, resolve })

  const health = new Health({
    sources: [() => ownReasons(phase), () => tunnel?.reasons() ?? [], () => forwarder.reasons()],
    policy: () => ({
      peers: config.tunnel?.peers.map(peer => peer.publicKey) ?? [],
      forwards: config.forwards.map(forward => forward.name),
      backends: config.readiness.backends,
    }),
    log,
  })
  cleanup.defer(() => health.close())
  const status = () =>
    endStatus({
      version,
      wireguardGo: binary?.version,
      startedAt,
      health: health.evaluate(),
      tunnel: tunnel?.status(),
      forwards: forwarder.status(),
      connections: forwarder.connections(),
    })
  const admin = new AdminServer({
    config: config.admin,
    health: () => health.evaluate(),
    started: () => phase !== 'starting',
    status,
    log,
  })
  await admin.listen()
  cleanup.defer(() => admin.close())

  cleanup.defer(() => tunnel?.close())
  try {
    await tunnel?.start(stop.drain)
  } catch (error) {
    if (stop.drain.aborted) return true
    throw error
  }
  await forwarder.listen(tunnel?.addresses ?? [])
  await announce(config, runFolder, log, cleanup)
  phase = 'running'
  surviveErrors(log, cleanup)
  log.info({ version, forwards: config.forwards.map(forward => forward.name) }, 'running')

  if (!stop.drain.aborted) await once(stop.drain, 'abort')
  phase = 'draining'
  await tunnel?.drain()
  log.info({ connections: forwarder.active, drainTimeoutMs: config.drainTimeout }, 'draining')
  await forwarder.drain(AbortSignal.any([stop.now, AbortSignal.timeout(config.drainTimeout)]))
  return !stop.now.aborted
}

function ownReasons(phase: 'starting' | 'running' | 'draining'): Reason[] {
  if (phase === 'starting') return [{ code: 'starting', detail: 'the first start is not complete' }]
  if (phase === 'draining')
    return [{ code: 'draining', detail: 'this end was told to stop and lets its connections finish' }]
  return []
}

/** Lets `health` and `status` find this end. Without it they need `--url`, no more: not worth a failed start. */
async function announce(
  { tunnel, admin }: Config,
  runFolder: string,
  log: Log,
  cleanup: AsyncDisposableStack,
): Promise<void> {
  const name = tunnel?.interface ?? 'forward'
  try {
    await writeRunFile(runFolder, name, { url: adminUrl(admin.host, admin.port), pid: process.pid })
    cleanup.defer(() => removeRunFile(runFolder, name))
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'health and status will not find this end by themselves')
  }
}

/** After the first start a fault of ours in one connection must not end all the others. */
function surviveErrors(log: Log, cleanup: AsyncDisposableStack): void {
  const report = (error: unknown) =>
    log.error(
      { error: messageOf(error), stack: (error as Error)?.stack },
      'unexpected error; please report it',
    )
  process.on('uncaughtException', report)
  process.on('unhandledRejection', report)
  cleanup.defer(() => {
    process.off('uncaughtException', report)
    process.off('unhandledRejection', report)
  })
}
