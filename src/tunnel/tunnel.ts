import type { PeerConfig, TunnelConfig } from '../config/config.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { Reason } from '../reason.ts'
import { bindableAddresses, bringUp, checkRunFolder, type Running } from './bring-up.ts'
import { change } from './change.ts'
import { checkTun, setLink } from './device.ts'
import { Endpoints } from './endpoints.ts'
import type { Guard } from './guard.ts'
import type { Ip } from './ip.ts'
import { type Lock, takeInterface } from './lock.ts'
import { Mtu } from './mtu.ts'
import { EndpointNames } from './names.ts'
import { defaults, type TunnelOptions } from './options.ts'
import { Peers, type Witness } from './peers.ts'
import { Prober } from './prober.ts'
import { Recovery } from './recovery.ts'
import { sample } from './sample.ts'
import type { TunnelStatus } from './status.ts'
import { Supervisor } from './supervisor.ts'
import { takeDown } from './take-down.ts'
import { changeLines, type Device } from './uapi-codec.ts'
import { Watch, type WatchOptions } from './watch.ts'

/**
 * The tunnel of this end: a TUN device, and a wireguard-go on it that is started again whenever it ends.
 *
 * Everything that can be wrong with the host shows at the first start, as an error. After it nothing here ends the
 * program: what goes wrong is a reason, and is tried again.
 */
export class Tunnel {
  readonly guard: Guard
  #config: TunnelConfig
  readonly #mtu: Mtu
  readonly #log: Log
  readonly #now: () => number
  readonly #ip: Ip
  readonly #runFolder: string
  readonly #peers: Peers
  readonly #names: EndpointNames
  readonly #endpoints: Endpoints
  readonly #supervisor: Supervisor
  readonly #prober: Prober
  readonly #recovery: Recovery
  readonly #watch: Watch
  readonly #stop = new AbortController()
  #lock: Lock | undefined
  #draining = false
  /** Of its routes: what they were given, and the prefixes to which this run has made one. */
  readonly #routing = { congestionControl: { value: 'kernel' }, made: new Set<string>() }
  #listenPort: number | undefined
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(config: TunnelConfig, options: TunnelOptions) {
    const { log, binary, now, ip, spawn, runFolder } = { ...defaults, ...options }
    this.#config = config
    this.#log = log
    this.#now = now
    this.#ip = ip
    this.#runFolder = runFolder
    const alone: WatchOptions['alone'] = work => this.#supervisor.alone(work)
    this.#mtu = new Mtu(config.mtu, { set: mtu => alone(() => setLink(ip, config.interface, mtu)), log })
    this.#peers = new Peers(config.peers, { ...options, now, own: () => this.#config.addresses })
    this.#names = new EndpointNames(config.peers, { log, resolve: options.resolve })
    this.#endpoints = new Endpoints(config, { log })
    const routed = () => this.guard.learn()
    const toBringUp = { binary, log, ip, spawn, runFolder, endpointOf: this.#endpointOf, routed }
    this.#supervisor = new Supervisor({
      bringUp: (patience, signal) =>
        bringUp({ ...toBringUp, made: this.#routing.made, config: this.#effective }, patience, signal),
      onRunning: running => this.#onRunning(running),
      log,
      now,
    })
    const parts = { config: () => this.#effective, peers: this.#peers, names: this.#names, log, now }
    this.#watch = new Watch({ ...parts, ip, alone, ...this.#routing })
    this.guard = this.#watch.guard
    this.#prober = new Prober({ ...options, ...parts, ways: this.guard })
    this.#recovery = new Recovery({ ...parts, running: () => this.#supervisor.running, prober: this.#prober })
  }

  /**
   * The first start; resolves when wireguard-go answers, and addresses and routes are set. It waits neither for
   * names nor for handshakes. `signal` ends the start, not the tunnel. `onLocked` is called as soon as no other end can
   * have this interface, and before anything else is done.
   *
   * @throws EndError DEVICE_UNAVAILABLE, INTERFACE_TAKEN, RUN_FOLDER, LISTEN_FAILED, TUNNEL_PROCESS, IP_FAILED or
   * UAPI, or what `onLocked` threw, with everything taken down again.
   */
  async start(signal: AbortSignal, onLocked = async () => {}): Promise<void> {
    this.#starting = this.#start(AbortSignal.any([signal, this.#stop.signal]), onLocked)
    try {
      await this.#starting
    } catch (error) {
      await this.close()
      throw error
    }
  }

  async #start(signal: AbortSignal, onLocked: () => Promise<void>): Promise<void> {
    signal.throwIfAborted()
    this.#lock = await takeInterface(this.#config.interface)
    await onLocked()
    await checkRunFolder(this.#runFolder)
    await checkTun()
    await this.#endpoints.load()
    this.#names.follow(this.#stop.signal, () => void this.#recovery.giveNewEndpoints())
    await this.#supervisor.start(signal, this.#stop.signal)
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
  async apply(
    to: TunnelConfig,
    bind: (addresses: readonly string[]) => Promise<void> = async () => {},
  ): Promise<void> {
    await this.#supervisor.alone(async running => {
      this.#stop.signal.throwIfAborted()
      const [from, endpointOf, { made }] = [this.#effective, this.#endpointOf, this.#routing]
      const heed = (config: TunnelConfig) => this.guard.apply(config)
      const parts = { running, ip: this.#ip, log: this.#log, names: this.#names, endpointOf, made, heed }
      this.#routing.congestionControl.value = (await change({ ...parts, from, to, bind })).congestionControl
      this.#config = to
      this.#names.apply(to.peers)
      this.#mtu.apply(to.mtu)
      this.#peers.apply(to.peers)
      this.#endpoints.apply(to)
      await this.#recovery.giveNewEndpoints()
      await this.guard.look()
      this.#log.info({ interface: to.interface, publicKey: to.publicKey }, 'tunnel changed')
    })
  }

  /** Who is to hear of connections and links. */
  get witness(): Witness {
    return this.#peers
  }

  /** Our tunnel addresses that can be bound now. */
  get addresses(): readonly string[] {
    return this.#supervisor.isStarted ? bindableAddresses(this.#config) : []
  }

  status(): TunnelStatus {
    const { interface: name, publicKey, addresses, mtu } = this.#effective
    const process = this.#supervisor.status()
    return {
      interface: name,
      publicKey,
      addresses: addresses.map(({ address, bits }) => `${address}/${bits}`),
      listenPort: process.state === 'running' ? this.#listenPort : undefined,
      mtu,
      congestionControl: this.#routing.congestionControl.value,
      process,
      device: this.#watch.status(),
      peers: this.#peers.status(),
    }
  }

  reasons(): Reason[] {
    if (!this.#supervisor.isStarted) return [{ code: 'starting', detail: 'the tunnel is being set up' }]
    const { down } = this.#supervisor
    const seen: Reason[] =
      down === undefined
        ? [...this.#watch.reasons(), ...this.#peers.reasons(), ...this.#mtu.reasons()]
        : [{ code: 'tunnel-process-down', detail: `wireguard-go is not running: ${down}` }]
    return [...this.#names.reasons(), ...seen]
  }

  /**
   * Stops keepalives, probes and recovery, so that a successor with the same key is not disturbed. Connections go on.
   * Never rejects.
   */
  async drain(): Promise<void> {
    this.#draining = true
    await this.#supervisor.alone(async running => {
      const from = this.#config
      this.#config = { ...from, peers: from.peers.map(peer => ({ ...peer, keepalive: 0 })) }
      await running?.uapi
        .set(changeLines(from, this.#config, this.#endpointOf))
        .catch(error => this.#log.warn({ error: messageOf(error) }, 'keepalives not stopped'))
    })
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
      // The last sample may be a second old, and a peer have moved since: the next start is to find it.
      const device = await this.#supervisor.running?.uapi.get().catch(() => undefined)
      if (device !== undefined) this.#endpoints.learn(device)
      await this.#watch.close()
      await this.#supervisor.close()
      await this.#endpoints.close()
      await takeDown(this.#ip, this.#runFolder, name)
    } catch (error) {
      this.#log.warn({ interface: name, error: messageOf(error) }, 'tunnel not fully removed')
    }
    await this.#lock.release()
  }

  /** The config as far as the path carries it. */
  get #effective(): TunnelConfig {
    return { ...this.#config, mtu: this.#mtu.value }
  }

  readonly #endpointOf = (peer: PeerConfig) => this.#names.take(peer) ?? this.#endpoints.get(peer.publicKey)

  #onRunning(running: Running): void {
    this.#routing.congestionControl.value = running.congestionControl
    this.#watch.up(running.isFresh)
    this.#peers.restart()
    for (const { path } of this.#peers) this.#prober.hurry(path)
    this.#take(running.device)
    void this.#recovery.giveNewEndpoints()
    void sample(running, this.#take, { log: this.#log, now: this.#now })
  }

  /** Once a second: what the paths show is acted upon. */
  readonly #take = (device: Device) => {
    this.#listenPort = device.listenPort
    this.#peers.update(device)
    this.#endpoints.learn(device)
    if (this.#draining) return
    this.#recovery.tick()
    this.#mtu.tick(this.#peers)
    this.#prober.tick()
  }
}
