import type { TunnelConfig } from '../config/config.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { Running } from './bring-up.ts'
import { Ladder, type Rung } from './ladder.ts'
import type { EndpointNames } from './names.ts'
import type { Path } from './path.ts'
import type { Peer } from './peer.ts'
import { type Peers, shortKey } from './peers.ts'
import type { Prober } from './prober.ts'
import { endpointLines, recreateLines } from './uapi-codec.ts'

/** Milliseconds between two rungs on the device: two dead peers need it no more often than one. */
const deviceRest = 10_000

/** Brings lost paths back, those of peers that this end can call: a ladder for each, healthy peers left in peace. */
export class Recovery {
  readonly #config: () => TunnelConfig
  readonly #running: () => Running | undefined
  readonly #peers: Peers
  readonly #names: EndpointNames
  readonly #prober: Prober
  readonly #log: Log
  readonly #now: () => number
  readonly #random: (() => number) | undefined
  /** By path, which is the peer's as long as it stays in the config. */
  readonly #ladders = new WeakMap<Path, Ladder>()
  #deviceAt = Number.NEGATIVE_INFINITY

  constructor(options: {
    readonly config: () => TunnelConfig
    readonly running: () => Running | undefined
    readonly peers: Peers
    readonly names: EndpointNames
    readonly prober: Prober
    readonly log: Log
    readonly now: () => number
    readonly random?: (() => number) | undefined
  }) {
    this.#config = options.config
    this.#running = options.running
    this.#peers = options.peers
    this.#names = options.names
    this.#prober = options.prober
    this.#log = options.log
    this.#now = options.now
    this.#random = options.random
  }

  /** To be called about once a second: takes the rungs that are due. */
  tick(): void {
    for (const peer of this.#peers) {
      const { config, path } = peer
      const ladder = this.#ladder(path)
      if (path.isUp) ladder.healthy(this.#now())
      // Without an address there is nobody to call.
      if (!path.isDead || this.#endpointOf(peer) === undefined) continue
      const rung = ladder.due(this.#now())
      // One that comes by itself is asked for a handshake, no more: its address is where it was last seen.
      if (rung === undefined || (config.endpoint === undefined && rung !== 'recreate')) continue
      if (onDevice(rung) && !this.#mayTouchDevice(rung, peer)) continue
      path.recovering(rung)
      this.#prober.rest(path)
      void this.#take(rung, peer).catch(error =>
        this.#log.warn(
          { peer: shortKey(config.publicKey), rung, error: messageOf(error) },
          'recovery step failed',
        ),
      )
    }
  }

  /** Gives wireguard-go the endpoints that resolved since it was configured. */
  async giveNewEndpoints(): Promise<void> {
    const uapi = this.#running()?.uapi
    if (uapi === undefined) return
    for (const { peer, endpoint, moved } of this.#names.takeNew()) {
      const keepsSession = this.#peers.hasSession(peer.publicKey) && !moved
      try {
        await uapi.set(keepsSession ? endpointLines(peer, endpoint) : recreateLines(peer, endpoint))
      } catch (error) {
        this.#log.warn({ peer: shortKey(peer.publicKey), error: messageOf(error) }, 'endpoint not set')
      }
    }
  }

  async #take(rung: Rung, peer: Peer): Promise<void> {
    const running = this.#running()
    if (running === undefined) return
    if (rung === 'restart') {
      await running.process.stop()
      return
    }
    if (rung === 'resolve') await this.#names.refresh(peer.config, { ifGone: false })
    // wireguard-go picks another free one.
    if (rung === 'port') await running.uapi.set(['listen_port=0'])
    await this.#recreate(running, peer)
    // A name that moved is followed at once.
    if (rung === 'recreate' && (await this.#names.refresh(peer.config, { ifGone: true })))
      await this.#recreate(running, peer)
  }

  /** Where a peer can be called: as the config says, or where it sends from. */
  #endpointOf({ config, path, sample }: Peer): string | undefined {
    return this.#names.take(config) ?? (path.isArriving ? sample?.endpoint : undefined)
  }

  async #recreate({ uapi }: Running, peer: Peer): Promise<void> {
    const { config, path } = peer
    // It may have come back while name servers were asked.
    if (!path.isDead) return
    await uapi.set(recreateLines(config, this.#endpointOf(peer)))
    path.remade()
    this.#prober.hurry(path)
  }

  #mayTouchDevice(rung: Rung, { config }: Peer): boolean {
    if (rung === 'port' && this.#config().listenPort !== undefined) return false
    // What name servers do not tell, a new wireguard-go does not know either.
    if (rung === 'restart' && !this.#names.resolves(config)) return false
    if ([...this.#peers].some(({ path }) => path.isUp)) return false
    if (this.#now() - this.#deviceAt < deviceRest) return false
    this.#deviceAt = this.#now()
    return true
  }

  #ladder(path: Path): Ladder {
    const ladder = this.#ladders.get(path) ?? new Ladder(this.#random)
    this.#ladders.set(path, ladder)
    return ladder
  }
}

function onDevice(rung: Rung): boolean {
  return rung === 'port' || rung === 'restart'
}
