import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TunnelConfig } from '../config/config.ts'
import { EndError, messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Reason } from '../reason.ts'
import { backoff } from './backoff.ts'
import type { Binary } from './binary.ts'
import { type BringUp, bringUp, checkRunFolder, type Running, socketOf } from './bring-up.ts'
import { checkTun, removeDevice } from './device.ts'
import { Endpoints } from './endpoints.ts'
import { type Ip, ip as runIp } from './ip.ts'
import { type Lock, takeInterface } from './lock.ts'
import { EndpointNames, type Resolve } from './names.ts'
import { Peers, shortKey } from './peers.ts'
import { reach, type Spawn } from './process.ts'
import { sample } from './sample.ts'
import type { TunnelStatus } from './status.ts'
import { type Device, endpointLines, recreateLines } from './uapi-codec.ts'

/** Milliseconds that wireguard-go has to become ready: at first a person waits for it, later nobody does. */
const firstPatience = 1500
const patience = 10_000
/** Milliseconds: the wait before a restart, but for the first one, which is at once, and how long it has to run for that. */
const firstRetry = 100
const lastRetry = 10_000
const healthyAfter = 60_000

type State =
  | { readonly name: 'starting'; readonly since: number }
  | { readonly name: 'running'; readonly since: number; readonly running: Running }
  | { readonly name: 'down'; readonly since: number; readonly why: string }

/**
 * The tunnel of this end: a TUN device, and a wireguard-go on it that is started again whenever it ends.
 *
 * Everything that can be wrong with the host shows at the first start, as an error. After it nothing here ends the
 * program: what goes wrong is a reason, and is tried again.
 */
export class Tunnel {
  readonly #config: TunnelConfig
  readonly #log: Log
  readonly #now: () => number
  readonly #ip: Ip
  readonly #bringUp: BringUp
  readonly #peers: Peers
  readonly #names: EndpointNames
  readonly #endpoints: Endpoints
  readonly #stop = new AbortController()
  #lock: Lock | undefined
  #state: State
  #started = false
  #restarts = 0
  /** What is running, or ran last: the device outlives it. */
  #latest: Running | undefined
  #listenPort: number | undefined
  #starting: Promise<void> | undefined
  #tasks: Promise<unknown>[] = []
  #closing: Promise<void> | undefined

  constructor(
    config: TunnelConfig,
    options: {
      readonly log: Log
      readonly binary: Binary
      readonly resolve: Resolve
      /** Where the sockets of wireguard-go are: compiled into it, so anything else is for tests. */
      readonly runFolder?: string
      readonly now?: () => number
      readonly spawn?: Spawn
      readonly ip?: Ip
    },
  ) {
    const { log, now = Date.now, ip = runIp } = options
    this.#config = config
    this.#log = log
    this.#now = now
    this.#ip = ip
    this.#peers = new Peers(config.peers, { log, now })
    this.#names = new EndpointNames(config.peers, { log, resolve: options.resolve })
    this.#endpoints = new Endpoints(config, { log })
    this.#bringUp = {
      config,
      binary: options.binary,
      log,
      ip,
      spawn: options.spawn,
      runFolder: options.runFolder ?? '/var/run/wireguard',
      endpointOf: peer => this.#names.take(peer) ?? this.#endpoints.get(peer.publicKey),
    }
    this.#state = { name: 'starting', since: now() }
  }

  /**
   * The first start; resolves when wireguard-go answers, and addresses and routes are set. It waits neither for
   * names nor for handshakes. `signal` ends the start, not the tunnel.
   *
   * @throws EndError DEVICE_UNAVAILABLE, INTERFACE_TAKEN, RUN_FOLDER, LISTEN_FAILED, TUNNEL_PROCESS, IP_FAILED or
   * UAPI, with everything taken down again.
   */
  async start(signal: AbortSignal): Promise<void> {
    this.#starting = this.#start(AbortSignal.any([signal, this.#stop.signal]))
    try {
      await this.#starting
    } catch (error) {
      await this.close()
      throw error
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#lock = await takeInterface(this.#config.interface)
    await checkRunFolder(this.#bringUp.runFolder)
    await checkTun()
    await this.#endpoints.load()
    this.#tasks.push(this.#names.follow(this.#stop.signal, () => void this.#giveEndpoints()))
    this.#enterRunning(await bringUp(this.#bringUp, firstPatience, signal))
    this.#started = true
    this.#tasks.push(this.#supervise())
  }

  /** Our tunnel addresses that can be bound now. */
  get addresses(): readonly string[] {
    return this.#latest?.addresses ?? []
  }

  status(): TunnelStatus {
    const { interface: name, publicKey, addresses, mtu } = this.#config
    const running = this.#state.name === 'running' ? this.#state.running : undefined
    return {
      interface: name,
      publicKey,
      addresses: addresses.map(({ address, bits }) => `${address}/${bits}`),
      listenPort: running && this.#listenPort,
      mtu,
      congestionControl: this.#latest?.congestionControl ?? 'kernel',
      process: {
        state: this.#state.name,
        since: this.#state.since,
        pid: running?.process.pid,
        restarts: this.#restarts,
      },
      peers: this.#peers.status(),
    }
  }

  reasons(): Reason[] {
    if (!this.#started) return [{ code: 'starting', detail: 'the tunnel is being set up' }]
    if (this.#state.name === 'down')
      return [
        { code: 'tunnel-process-down', detail: `wireguard-go is not running: ${this.#state.why}` },
        ...this.#names.reasons(),
      ]
    return [...this.#names.reasons(), ...this.#peers.reasons()]
  }

  /**
   * Ends wireguard-go, removes the device and saves the endpoints. Safe at any time, also while starting, and twice.
   * Never rejects.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    await this.#starting?.catch(() => {})
    await Promise.all(this.#tasks)
    // Without the lock nothing here is ours.
    if (this.#lock === undefined) return
    const { interface: name } = this.#config
    try {
      await this.#endpoints.close()
      this.#latest?.uapi.close()
      await this.#latest?.process.stop()
      this.#state = { name: 'down', since: this.#now(), why: 'closed' }
      ;(await reach(socketOf(this.#bringUp.runFolder, name)))?.destroy()
      await removeDevice(this.#ip, name)
    } catch (error) {
      this.#log.warn({ interface: name, error: messageOf(error) }, 'tunnel not fully removed')
    }
    await this.#lock.release()
  }

  /** Waits for wireguard-go to end, and starts it again, until closed. */
  async #supervise(): Promise<void> {
    const { signal } = this.#stop
    const stopped = once(signal, 'abort')
    let failures = 0
    while (!signal.aborted) {
      if (this.#state.name === 'running') {
        const { since, running } = this.#state
        const how = await Promise.race([running.process.exited, stopped])
        if (typeof how !== 'string') return
        if (this.#now() - since >= healthyAfter) failures = 0
        running.uapi.close()
        this.#enterDown(how)
      }
      const wait = failures === 0 ? 0 : backoff(failures - 1, firstRetry, lastRetry)
      failures++
      try {
        await sleep(wait, undefined, { signal })
        this.#restarts++
        this.#enterRunning(await bringUp(this.#bringUp, patience, signal))
      } catch (error) {
        if (!signal.aborted) this.#enterDown(error instanceof EndError ? error.line : messageOf(error))
      }
    }
  }

  #enterRunning(running: Running): void {
    this.#state = { name: 'running', since: this.#now(), running }
    this.#latest = running
    this.#peers.restart()
    this.#take(running.device)
    void this.#giveEndpoints()
    void sample(running, device => this.#take(device), { log: this.#log, now: this.#now })
  }

  #enterDown(why: string): void {
    this.#log.error({ why, restarts: this.#restarts }, 'wireguard-go is not running')
    this.#state = { name: 'down', since: this.#now(), why }
  }

  #take(device: Device): void {
    this.#listenPort = device.listenPort
    this.#peers.update(device)
    for (const peer of this.#config.peers) {
      if (peer.endpoint !== undefined) continue
      const endpoint = device.peers.find(({ publicKey }) => publicKey === peer.publicKey)?.endpoint
      if (endpoint !== undefined) this.#endpoints.set(peer.publicKey, endpoint)
    }
  }

  /** Gives wireguard-go the endpoints that resolved since it was configured. */
  async #giveEndpoints(): Promise<void> {
    if (this.#state.name !== 'running') return
    const { uapi } = this.#state.running
    for (const [peer, endpoint] of this.#names.takeNew()) {
      const hasSession = this.#peers.hasSession(peer.publicKey)
      try {
        await uapi.set(hasSession ? endpointLines(peer, endpoint) : recreateLines(peer, endpoint))
      } catch (error) {
        this.#log.warn({ peer: shortKey(peer.publicKey), error: messageOf(error) }, 'endpoint not set')
      }
    }
  }
}
