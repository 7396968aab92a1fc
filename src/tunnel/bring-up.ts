import { constants } from 'node:fs'
import { access, mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cidr } from '../address.ts'
import type { TunnelConfig } from '../config/config.ts'
import { EndError, messageOf } from '../errors.ts'
import { withOwnFile } from '../files/file-turns.ts'
import type { Log } from '../log/log.ts'
import type { Binary } from './binary.ts'
import { ensureDevice, hasIPv6, reconcileAddresses, setLink } from './device.ts'
import type { Ip } from './ip.ts'
import { adoptProcess, type Process, reach, type Spawn, startProcess } from './process.ts'
import { reconcileRoutes } from './routes.ts'
import { Uapi, UapiError } from './uapi.ts'
import { configurationLines, type Device, type EndpointOf } from './uapi-codec.ts'

/** What it takes to get from nothing, or from what an earlier run left, to a tunnel that works. */
export interface BringUp {
  readonly config: TunnelConfig
  readonly binary: Binary
  readonly log: Log
  readonly ip: Ip
  readonly spawn?: Spawn | undefined
  readonly runFolder: string
  readonly endpointOf: EndpointOf
  /** Of the routes. */
  readonly made: Set<string>
  /** Called when the device has its routes. */
  readonly routed: () => Promise<void>
}

/** A wireguard-go that answers and is configured, on a device with addresses and routes. */
export interface Running {
  readonly process: Process
  readonly uapi: Uapi
  readonly device: Device
  /** There was no device before it. */
  readonly isFresh: boolean
  /** What TCP through the tunnel uses. */
  readonly congestionControl: string
}

/** Milliseconds between two questions whether wireguard-go is ready; it usually takes 5 to 20. */
const readyInterval = 10

/**
 * Where wireguard-go puts its socket; the path is compiled into it.
 *
 * @throws EndError RUN_FOLDER when it cannot.
 */
export async function checkRunFolder(folder: string): Promise<void> {
  try {
    await withOwnFile(folder, async () => {
      await mkdir(folder, { recursive: true, mode: 0o755 })
      await access(folder, constants.W_OK | constants.X_OK)
    })
  } catch (cause) {
    throw new EndError('RUN_FOLDER', `${folder} is not writable: ${messageOf(cause)}`, {
      fix: `Mount a volume or a tmpfs there (-v wg-punchhole:${folder}); in Kubernetes an emptyDir`,
      cause,
    })
  }
}

/** The socket of the wireguard-go of one interface. */
export function socketOf(runFolder: string, name: string): string {
  return `${runFolder}/${name}.sock`
}

/**
 * Device, wireguard-go, its configuration, then what it reset of the device, each reconciled with what is there.
 *
 * `patience`: milliseconds that wireguard-go has to become ready.
 */
export async function bringUp(
  { config, binary, log, ip, spawn, runFolder, endpointOf, made, routed }: BringUp,
  patience: number,
  signal: AbortSignal,
): Promise<Running> {
  const name = config.interface
  const socketPath = socketOf(runFolder, name)
  const { existed, attached } = await ensureDevice(ip, name)
  signal.throwIfAborted()
  const adopted = await takeOver(socketPath, config, attached, log)
  const process =
    adopted ?? (await startProcess({ binary: binary.path, interface: name, log, ...(spawn && { spawn }) }))
  const uapi = new Uapi(socketPath)
  try {
    const fresh = await ready(uapi, process, patience, signal)
    await setListenPort(uapi, fresh, config)
    await uapi.set(configurationLines(fresh, config, endpointOf))
    const { addresses, congestionControl } = await setUpDevice(ip, config, log, made)
    await routed()
    const device = await uapi.get()
    signal.throwIfAborted()
    log.info(
      {
        interface: name,
        publicKey: config.publicKey,
        addresses,
        listenPort: device.listenPort,
        wireguardGo: binary.version,
        adopted: adopted !== undefined,
      },
      'tunnel up',
    )
    return { process, uapi, device, isFresh: !existed, congestionControl }
  } catch (error) {
    uapi.close()
    await process.stop()
    throw error
  }
}

/**
 * MTU, addresses and routes, in this order: wireguard-go resets the MTU whenever it starts, and an IPv4 address that
 * goes takes routes with it.
 */
export async function setUpDevice(
  ip: Ip,
  config: TunnelConfig,
  log: Log,
  made: Set<string>,
): Promise<{ addresses: string[]; congestionControl: string }> {
  const name = config.interface
  await setLink(ip, name, config.mtu)
  const addresses = usableAddresses(config)
  await reconcileAddresses(ip, name, deviceAddresses(config))
  const congestionControl = await reconcileRoutes(ip, config, log, { ipv6: hasIPv6(name), made })
  return { addresses: addresses.map(({ address, bits }) => `${address}/${bits}`), congestionControl }
}

/** Those that can be bound, each once: one may stand there with two masks. */
export function bindableAddresses(config: TunnelConfig): string[] {
  return [...new Set(usableAddresses(config).map(({ address }) => address))]
}

/** What the device has to have. */
export function deviceAddresses(config: TunnelConfig): Cidr[] {
  const linkLocal = hasIPv6(config.interface) ? (config.linkLocal ?? []) : []
  return [...usableAddresses(config), ...linkLocal]
}

/** Our addresses that can be had, and bound. */
export function usableAddresses({ interface: name, addresses }: TunnelConfig): Cidr[] {
  const ipv6 = hasIPv6(name)
  return addresses.filter(({ family }) => family === 4 || ipv6)
}

/**
 * The wireguard-go that a killed supervisor left, when it has our key; one with another key is ended.
 *
 * The run folder may be shared by network namespaces, so what answers there may serve a device of another one:
 * then ours has no carrier, because nobody has it open.
 */
async function takeOver(
  socketPath: string,
  { interface: name, privateKey }: TunnelConfig,
  attached: boolean,
  log: Log,
): Promise<Process | undefined> {
  const watch = await reach(socketPath)
  if (watch === undefined) return undefined
  if (!attached) {
    watch.destroy()
    throw new EndError(
      'INTERFACE_TAKEN',
      `${socketPath} belongs to a running wireguard-go that serves another network namespace`,
      { fix: `Choose another tunnel.interface than ${name}, or end that one` },
    )
  }
  const found = adoptProcess(watch, socketPath, log)
  const uapi = new Uapi(socketPath, { timeout: 500 })
  const ours = await uapi.holds(privateKey).catch(() => false)
  uapi.close()
  if (ours) return found
  log.info({ interface: name }, 'ending a wireguard-go with another key that an earlier run left')
  await found.stop()
  return undefined
}

/** Waits until wireguard-go answers and has opened its UDP socket, which it does when it sees the link up. */
async function ready(uapi: Uapi, process: Process, patience: number, signal: AbortSignal): Promise<Device> {
  const deadline = performance.now() + patience
  let ended: string | undefined
  void process.exited.then(how => {
    ended = how
  })
  let problem = 'it opened no UDP port'
  do {
    try {
      const device = await uapi.get()
      if (device.listenPort !== undefined) return device
    } catch (error) {
      problem = messageOf(error)
    }
    await sleep(readyInterval, undefined, { signal })
    if (ended !== undefined)
      throw new EndError('TUNNEL_PROCESS', `wireguard-go did not start: ${ended}`, {
        fix: 'Its own lines in the log, just before this one, say why',
      })
  } while (performance.now() < deadline)
  throw new EndError('TUNNEL_PROCESS', `wireguard-go was not ready within ${patience} ms: ${problem}`, {
    fix: 'See its own lines in the log (log.level: debug), and whether the host is overloaded',
  })
}

/** Only on change: each `listen_port` line closes the socket and opens one anew, and failing leaves none. */
export async function setListenPort(
  uapi: Uapi,
  device: Pick<Device, 'listenPort'>,
  { listenPort }: Pick<TunnelConfig, 'listenPort'>,
): Promise<void> {
  if (listenPort === undefined || listenPort === device.listenPort) return
  try {
    await uapi.set([`listen_port=${listenPort}`])
  } catch (cause) {
    if (!(cause instanceof UapiError && cause.errno === 98)) throw cause
    throw new EndError('LISTEN_FAILED', `UDP port ${listenPort} (ListenPort) is not to be had`, {
      fix: `Stop what holds it (ss -lunp 'sport = :${listenPort}' tells), or choose another ListenPort`,
      cause,
    })
  }
}
