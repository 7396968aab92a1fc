import type { PeerConfig, TunnelConfig } from '../config/config.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Reason } from '../reason.ts'
import type { Binary } from './binary.ts'
import { bringUp, checkRunFolder, type Running, socketOf, usableAddresses } from './bring-up.ts'
import { change } from './change.ts'
import { checkTun, removeDevice } from './device.ts'
import { Endpoints } from './endpoints.ts'
import { type Ip, ip as runIp } from './ip.ts'
import { type Lock, takeInterface } from './lock.ts'
import { EndpointNames, type Resolve } from './names.ts'
import { Peers, shortKey } from './peers.ts'
import { reach, type Spawn } from './process.ts'
import { sample } from './sample.ts'
import type { TunnelStatus } from './status.ts'
import { Supervisor } from './supervisor.ts'
import { type Device, endpointLines, recreateLines } from './uapi-codec.ts'

/**
 * The tunnel of this end: a TUN device, and a wireguard-go on it that is started again whenever it ends.
 *
 * Everything that can be wrong with the host shows at the first start, as an error. After it nothing here ends the
 * program: what goes wrong is a reason, and is tried again.
 */
export class Tunnel {
  #config: TunnelConfig
  readonly #log: Log
  readonly #now: () => number
  readonly #ip: Ip
  readonly #runFolder: string
  readonly #peers: Peers
  readonly #names: EndpointNames
  readonly #endpoints: Endpoints
  readonly #supervisor: Supervisor
  readonly #stop = new AbortController()
  #lock: Lock | undefined
  #started = false
  #congestionControl = 'kernel'
  #listenPort: number | undefined
  #starting: Promise<void> | undefined
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
    const { log, binary, now = Date.now, ip = runIp, spawn, runFolder = '/var/run/wireguard' } = options
    this.#config = config
    this.#log = log
    this.#now = now
    this.#ip = ip
    this.#runFolder = runFolder
    this.#peers = new Peers(config.peers, { log, now })
    this.#names = new EndpointNames(config.peers, { log, resolve: options.resolve })
    this.#endpoints = new Endpoints(config, { log })
    const toBringUp = { binary, log, ip, spawn, runFolder, endpointOf: this.#endpointOf }
    this.#supervisor = new Supervisor({
      bringUp: (patience, signal) => bringUp({ ...toBringUp, config: this.#config }, patience, signal),
      onRunning: running => this.#onRunning(running),
      log,
      now,
    })
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
    await checkRunFolder(this.#runFolder)
    await checkTun()
    await this.#endpoints.load()
    this.#names.follow(this.#stop.signal, () => void this.#giveEndpoints())
    await this.#supervisor.start(signal, this.#stop.signal)
    this.#started = true
  }

  /**
   * Goes on with another config, changing only what differs: sessions of peers that stay as they are survive. Its
   * `interface` must be the same. While wireguard-go is away the next one gets it.
   *
   * `bind` is called as soon as the new addresses are there, before anything else is changed, with those that can be
   * bound: the place to bind new listeners. When it rejects, or a step after it fails, everything is as before, and
   * the caller closes what `bind` bound.
   *
   * @throws EndError LISTEN_FAILED when a new ListenPort is not to be had, IP_FAILED or UAPI; or what `bind` threw.
   */
  apply(
    config: TunnelConfig,
    bind: (addresses: readonly string[]) => Promise<void> = async () => {},
  ): Promise<void> {
    return this.#supervisor.alone(running => this.#apply(config, bind, running))
  }

  async #apply(
    to: TunnelConfig,
    bind: (addresses: readonly string[]) => Promise<void>,
    running: Running | undefined,
  ): Promise<void> {
    this.#stop.signal.throwIfAborted()
    const from = this.#config
    let goBack = () => {}
    const bound = async (addresses: readonly string[]) => {
      await bind(addresses)
      goBack = this.#names.apply(to.peers)
    }
    try {
      const parts = { running, ip: this.#ip, log: this.#log, endpointOf: this.#endpointOf }
      const { congestionControl } = await change({ ...parts, from, to, bind: bound })
      this.#congestionControl = congestionControl
    } catch (error) {
      goBack()
      throw error
    }
    this.#config = to
    this.#peers.apply(to.peers)
    this.#endpoints.apply(to)
    await this.#giveEndpoints()
    this.#log.info({ interface: to.interface, publicKey: to.publicKey }, 'tunnel changed')
  }

  /** The name of its device, which no reload changes. */
  get interface(): string {
    return this.#config.interface
  }

  /** Our tunnel addresses that can be bound now. */
  get addresses(): readonly string[] {
    return this.#started ? usableAddresses(this.#config).map(({ address }) => address) : []
  }

  status(): TunnelStatus {
    const { interface: name, publicKey, addresses, mtu } = this.#config
    const process = this.#supervisor.status()
    return {
      interface: name,
      publicKey,
      addresses: addresses.map(({ address, bits }) => `${address}/${bits}`),
      listenPort: process.state === 'running' ? this.#listenPort : undefined,
      mtu,
      congestionControl: this.#congestionControl,
      process,
      peers: this.#peers.status(),
    }
  }

  reasons(): Reason[] {
    if (!this.#started) return [{ code: 'starting', detail: 'the tunnel is being set up' }]
    const { down } = this.#supervisor
    if (down !== undefined)
      return [
        { code: 'tunnel-process-down', detail: `wireguard-go is not running: ${down}` },
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
    // Without the lock nothing here is ours.
    if (this.#lock === undefined) return
    const { interface: name } = this.#config
    try {
      await this.#supervisor.close()
      await this.#endpoints.close()
      ;(await reach(socketOf(this.#runFolder, name)))?.destroy()
      await removeDevice(this.#ip, name)
    } catch (error) {
      this.#log.warn({ interface: name, error: messageOf(error) }, 'tunnel not fully removed')
    }
    await this.#lock.release()
  }

  readonly #endpointOf = (peer: PeerConfig) => this.#names.take(peer) ?? this.#endpoints.get(peer.publicKey)

  #onRunning(running: Running): void {
    this.#congestionControl = running.congestionControl
    this.#peers.restart()
    this.#take(running.device)
    void this.#giveEndpoints()
    void sample(running, device => this.#take(device), { log: this.#log, now: this.#now })
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
    const { running } = this.#supervisor
    if (running === undefined) return
    for (const { peer, endpoint, moved } of this.#names.takeNew()) {
      const keepsSession = this.#peers.hasSession(peer.publicKey) && !moved
      try {
        await running.uapi.set(keepsSession ? endpointLines(peer, endpoint) : recreateLines(peer, endpoint))
      } catch (error) {
        this.#log.warn({ peer: shortKey(peer.publicKey), error: messageOf(error) }, 'endpoint not set')
      }
    }
  }
}
