import { once } from 'node:events'
import { formatHostPort } from './address.ts'
import { Health } from './admin/health.ts'
import { adminUrl, removeRunFile, writeRunFile } from './admin/run-file.ts'
import { AdminServer } from './admin/server.ts'
import { endStatus } from './admin/status.ts'
import { wallTime } from './clock.ts'
import type { Config } from './config/config.ts'
import { readHost } from './config/host.ts'
import { formatShown } from './config/issues.ts'
import type { Loaded } from './config/load.ts'
import { judge } from './doctor/judge.ts'
import { messageOf } from './errors.ts'
import { Forwarder } from './forward/forwarder.ts'
import type { Change } from './forward/listeners.ts'
import { literalTargets, planOf } from './forward/plan.ts'
import { HiddenClients } from './hidden-clients.ts'
import { linksFor } from './link/bundle.ts'
import { LogBudget } from './log/budget.ts'
import { createLog, type Log } from './log/log.ts'
import { Names, type ResolveOptions } from './names/names.ts'
import { peerAt } from './names/peer-at.ts'
import { Events } from './page/events.ts'
import { History } from './page/history.ts'
import { statusPage } from './page/page.ts'
import { contentSecurityPolicy } from './page/style.ts'
import { type Phase, phaseReasons } from './process/phase.ts'
import type { Stop } from './process/stop.ts'
import { Reload } from './reload.ts'
import { Descriptors } from './sockets/descriptors.ts'
import { allSent } from './sockets/unsent.ts'
import { findBinary } from './tunnel/binary.ts'
import { Tunnel } from './tunnel/tunnel.ts'
import { version } from './version.ts'
import { allOpen } from './ways.ts'

/** Milliseconds that an end has to take everything down, once it has drained. */
const takeDownPatience = 15_000

export interface EndOptions {
  /** The config to start with, without errors. */
  readonly loaded: Loaded & { readonly config: Config }
  /** Reads it anew. */
  readonly load: () => Promise<Loaded>
  readonly runFolder: string
  readonly stop: Stop
}

/**
 * One end, from start to stop. Resolves once everything is taken down: true when every step of that was given its
 * time, false when a second signal cut it short. Rejects with the `EndError` that kept it from starting.
 */
export async function runEnd({ loaded, load, runFolder, stop }: EndOptions): Promise<boolean> {
  const { config } = loaded
  const ownLog = createLog(config.log.level)
  const events = new Events()
  const log = new LogBudget(events.readAlong(ownLog))
  for (const warning of formatShown(loaded, ['warning'])) log.warn({ warning }, 'config warning')
  const startedAt = performance.now()
  let phase: Phase = 'starting'
  let late: AbortSignal | undefined
  await using cleanup = new AsyncDisposableStack()
  cleanup.defer(() => ownLog.output.end(late))
  cleanup.defer(() => log.flush())

  let reload: Reload | undefined
  const current = () => reload?.config ?? config
  const names = new Names()
  const resolve = (host: string, options?: ResolveOptions) => names.resolve(host, options)
  /** With their way known: the kernel is asked before somebody connects. */
  const resolveTarget = async (host: string) => {
    const addresses = await resolve(host)
    await tunnel?.guard.learn(addresses)
    return addresses
  }
  const binary = config.tunnel && (await findBinary())
  const tunnel = config.tunnel && new Tunnel(config.tunnel, { log, binary: binary!, resolve })
  const host = await readHost()
  const hidden = new HiddenClients(host.gateways, log)
  const linksPerPeer = () => {
    const own = tunnel?.status().congestionControl ?? 'kernel'
    return linksFor(own === 'kernel' ? host.congestionControl : own)
  }
  const descriptors = new Descriptors(host.openFiles)
  const forwarder = new Forwarder({
    log,
    descriptors,
    witness: tunnel?.witness,
    logConnections: () => current().log.connections,
    resolve: resolveTarget,
    ways: tunnel?.guard ?? allOpen,
    tracing: { end: () => ({ version, mtu: tunnel?.status().mtu }), judge },
    peerAt: address => peerAt(address, current().tunnel?.peers ?? [], names),
    seen: (address, throughTunnel) =>
      throughTunnel ? tunnel?.witness.connectionFrom(address) : hidden.seen(address),
  })

  tunnel?.guard.serve(forwarder.reached)

  const health = new Health({
    sources: [
      () => phaseReasons(phase),
      () => tunnel?.reasons() ?? [],
      () => forwarder.reasons(),
      () => reload?.reasons() ?? [],
    ],
    policy: () => ({
      peers: current().tunnel?.peers.map(peer => peer.publicKey) ?? [],
      forwards: current().forwards.map(forward => forward.name),
      backends: current().readiness.backends,
    }),
    log,
  })
  cleanup.defer(() => health.close())
  const status = () =>
    endStatus({
      version,
      wireguardGo: binary?.version,
      startedAt,
      logLinesDropped: ownLog.output.dropped,
      health: health.evaluate(),
      config: reload?.status(),
      tunnel: tunnel?.status(),
      links: forwarder.links(),
      forwards: forwarder.status(),
      connections: forwarder.connections(),
    })
  const history = new History({ read: () => forwarder.status() })
  cleanup.defer(() => history.close())
  const admin = new AdminServer({
    config: config.admin,
    health: () => health.evaluate(),
    outwaited: patience => health.outwaited(patience),
    started: () => phase !== 'starting',
    render: status => ({
      body: statusPage({ status, history, events: events.recent, now: wallTime(performance.now()) }),
      policy: contentSecurityPolicy,
    }),
    startedAt,
    status,
    log,
    descriptors,
  })
  cleanup.defer(() => admin.close())
  cleanup.defer(() => tunnel?.close())
  try {
    // Asked from the first moment on; but whoever starts a second end is to hear that, not of a port in use.
    if (tunnel === undefined) await admin.listen()
    else await tunnel.start(stop.drain, () => admin.listen())
  } catch (error) {
    if (stop.drain.aborted) return true
    throw error
  }
  await tunnel?.guard.learn(literalTargets(config))
  const listeners = await forwarder.prepare(planOf(config, tunnel?.addresses ?? [], linksPerPeer))
  listeners.commit()
  descriptors.tellLimit(log)
  await announce(config, runFolder, log, cleanup)
  phase = 'running'
  surviveErrors(log, cleanup)
  log.info({ version, forwards: config.forwards.map(forward => forward.name) }, 'running')
  const apply = async (now: Config, before: Config) => {
    let change: Change | undefined
    const bind = async (addresses: readonly string[]) => {
      change = await forwarder.prepare(planOf(now, addresses, linksPerPeer))
    }
    try {
      // The device keeps its name, and an end that has no tunnel gets none: both need a restart.
      if (tunnel === undefined || now.tunnel === undefined) await bind(tunnel?.addresses ?? [])
      else await tunnel.apply({ ...now.tunnel, interface: tunnel.status().interface }, bind)
      await tunnel?.guard.learn(literalTargets(now))
    } catch (error) {
      await change?.rollback()
      tunnel?.guard.settle()
      throw error
    }
    change?.commit()
    tunnel?.guard.settle()
    ownLog.level = now.log.level
    const keys = needRestart(now, before)
    if (keys.length > 0) log.warn({ keys }, 'these keys changed too, and need a restart')
  }
  reload = new Reload({ loaded, load, apply, log })
  const request = reload.request.bind(reload)
  process.on('SIGHUP', request)

  if (!stop.drain.aborted) await once(stop.drain, 'abort')
  phase = 'draining'
  process.off('SIGHUP', request)
  forwarder.goaway()
  const { drainDelay, drainTimeout } = reload.config
  late = AbortSignal.any([stop.now, AbortSignal.timeout(drainTimeout)])
  // With nobody before it, clients come until the door is shut: the sooner, the shorter a restart.
  const delay = forwarder.hasFront ? drainDelay : 0
  const fields = { connections: forwarder.active, drainDelayMs: delay, drainTimeoutMs: drainTimeout }
  log.info(fields, 'draining')
  stop.endBy(delay + drainTimeout + takeDownPatience)
  await reload.close()
  await tunnel?.drain()
  await forwarder.drain(late, delay)
  await allSent(tunnel?.addresses ?? [], late)
  return !stop.now.aborted
}

/** What of a config is fixed once the end has started. */
function needRestart(now: Config, before: Config): string[] {
  const fixed = (config: Config) => ({
    'tunnel.interface': config.tunnel?.interface,
    'admin.listen': formatHostPort(config.admin.host, config.admin.port),
    'admin.page': config.admin.page,
  })
  const old: Record<string, unknown> = fixed(before)
  return Object.entries(fixed(now)).flatMap(([key, value]) => (value === old[key] ? [] : [key]))
}

/** Lets `health` and `status` find this end. Without it they need `--url`, no more: not worth a failed start. */
async function announce(
  { tunnel, admin }: Config,
  runFolder: string,
  log: Log,
  cleanup: AsyncDisposableStack,
): Promise<void> {
  const name = tunnel?.interface ?? `forward-${admin.port}`
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
