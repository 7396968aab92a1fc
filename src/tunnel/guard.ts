import { canonical } from '../address.ts'
import type { TunnelConfig } from '../config/config.ts'
import { Covered } from '../config/covered.ts'
import { Prefixes } from '../config/prefixes.ts'
import { tunnelled } from '../config/tunnelled.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { Reason } from '../reason.ts'
import type { Ways } from '../ways.ts'
import type { Ip } from './ip.ts'
import { shortKey } from './peers.ts'
import { askRoutes, type Way, wayOf } from './way.ts'

/** Milliseconds for which an address that a name gave is looked after, from the last time that it was given. */
const remembered = 600_000
/** Addresses that are known to be no matter of the tunnel's; beyond that many they are found out anew. */
const mostOthers = 4096

const noLonger = 'no peer has it in AllowedIPs any more'

export interface GuardOptions {
  readonly ip: Ip
  readonly config: () => TunnelConfig
  /** The peers' own addresses, as they are known now. */
  readonly peers: () => Iterable<string>
  readonly log: Log
  readonly now: () => number
}

/** Who has connections, and hears where they may not be any more. */
export interface GuardOwner {
  /** Addresses that connections go to or come from now, or may at any moment. */
  inUse(): Iterable<string>
  /** What goes to this address would leave this host unencrypted: its connections are to be cut at once. */
  cut(address: string, why: string): void
  /** It is reached through the tunnel again. */
  reopened(address: string): void
}

/**
 * Sees to it that data for an address of a peer goes through the tunnel's device or nowhere, whatever routes and rules
 * others make. For each such address that is in use it knows what the kernel's own route look-up says; whoever watches
 * routes and rules calls `look` when they change.
 */
export class Guard implements Ways {
  readonly #options: GuardOptions
  #owner: GuardOwner | undefined
  #prefixes: Prefixes
  /** Those of the config before, while some still go by it. */
  #former: Prefixes | undefined
  #ways = new Map<string, Way>()
  readonly #others = new Set<string>()
  /** Addresses that names gave, and when they last did. */
  readonly #named = new Map<string, number>()
  #looking: Promise<void> = Promise.resolve()
  /** The one after it. */
  #next: Promise<void> | undefined

  constructor(options: GuardOptions) {
    this.#options = options
    this.#prefixes = guarded(options.config())
  }

  /** From now on for this one. */
  serve(owner: GuardOwner): void {
    this.#owner = owner
  }

  /**
   * The config is another one. What was the tunnel's and is no more is cut, and shut until `settle`: those who still send
   * there meant the tunnel.
   */
  async apply(config: TunnelConfig): Promise<void> {
    this.#former = this.#prefixes
    this.#prefixes = guarded(config)
    this.#others.clear()
    for (const address of [...this.#ways.keys()]) {
      if (this.#prefixes.has(address)) continue
      this.#ways.delete(address)
      this.#owner?.cut(address, noLonger)
    }
    await this.look()
  }

  /** Everybody goes by the new config. */
  settle(): void {
    this.#former = undefined
  }

  shut(address: string): string | undefined {
    const way = this.#ways.get(address)
    if (way !== undefined) return way.leads === 'through' ? undefined : way.why
    if (!this.#isOurs(address)) return this.#former?.has(address) ? noLonger : undefined
    void this.look()
    return 'it is not known yet how it is routed'
  }

  astray(address: string, connection: { readonly localAddress?: string | undefined }): string | undefined {
    const shut = this.shut(address)
    if (shut !== undefined) return shut
    const source = this.#ways.get(address)?.source
    if (source === undefined || source === connection.localAddress) return undefined
    void this.look()
    return `its connection has the source ${connection.localAddress}, not the tunnel's ${source}`
  }

  heard(address: string): string | undefined {
    if (this.#ways.has(address)) return this.shut(address)
    if (this.#isOurs(address)) void this.look()
    return undefined
  }

  /** Resolves when it is known how these are routed; without an argument, the peers. */
  async learn(addresses: Iterable<string> = this.#options.peers()): Promise<void> {
    const ours = Array.from(addresses, canonical).filter(address => this.#isOurs(address))
    for (const address of ours) this.#named.set(address, this.#options.now())
    if (ours.some(address => !this.#ways.has(address))) await this.look()
  }

  /**
   * Asks the kernel, for all addresses, by a look that begins after this call. Never rejects: where it cannot be asked all
   * stays as it was, or shut.
   */
  look(): Promise<void> {
    this.#next ??= this.#looking.then(() => {
      this.#next = undefined
      this.#looking = this.#look().catch(error =>
        this.#options.log.warn({ error: messageOf(error) }, 'routes not looked up'),
      )
      return this.#looking
    })
    return this.#next
  }

  /** Those that are shut now. */
  list(): { address: string; why: string }[] {
    const shut = [...this.#ways].filter(([, { leads }]) => leads !== 'through')
    return shut.map(([address, { why }]) => ({ address, why }))
  }

  reasons(): Reason[] {
    const { peers, interface: name } = this.#options.config()
    const all = this.list()
    if (all.length === 0) return []
    // WireGuard goes by the longest prefix.
    const prefixes = new Covered(peers.flatMap(peer => peer.allowedIps.map(prefix => ({ ...prefix, peer }))))
    const byPeer = Map.groupBy(all, ({ address }) => prefixes.find(address)?.peer)
    return peers.flatMap((peer): Reason[] => {
      const shut = byPeer.get(peer)?.[0]
      if (shut === undefined) return []
      const { address, why } = shut
      const detail = `data for ${address} of peer ${shortKey(peer.publicKey)} does not leave through ${name}, so none is sent: ${why}`
      return [{ code: 'no-tunnel-route', detail, peer: peer.publicKey }]
    })
  }

  async #look(): Promise<void> {
    const { ip, peers, now } = this.#options
    for (const [address, at] of this.#named) if (now() - at > remembered) this.#named.delete(address)
    const all = [...peers(), ...this.#named.keys(), ...(this.#owner?.inUse() ?? [])]
    const addresses = new Set(all.filter(address => this.#prefixes.has(address)))
    const before = this.#ways
    const sources = new Map([...before].map(([address, { source }]) => [address, source]))
    const answers = await askRoutes(
      ip,
      [...addresses].map(address => [address, sources.get(address)]),
    )
    // The source that the kernel takes is known now; it may be another one.
    const others = [...addresses].flatMap((address): [string, string | undefined][] => {
      const source = answers.get(address)?.prefsrc
      return source === sources.get(address) ? [] : [[address, source]]
    })
    for (const [question, answer] of await askRoutes(ip, others)) answers.set(question, answer)
    const config = this.#options.config()
    this.#ways = new Map([...addresses].map(address => [address, wayOf(address, answers, config)]))
    for (const [address, way] of this.#ways) this.#tell(address, before.get(address), way)
  }

  #tell(address: string, before: Way | undefined, { leads, why }: Way): void {
    if (leads === 'elsewhere') this.#owner?.cut(address, why)
    if (leads === before?.leads) return
    const { log, config } = this.#options
    const fields = { address, interface: config().interface }
    if (leads !== 'through') log.warn({ ...fields, why }, 'no route through the tunnel, nothing is sent')
    else if (before !== undefined) {
      log.info(fields, 'route through the tunnel again')
      this.#owner?.reopened(address)
    }
  }

  #isOurs(address: string): boolean {
    if (this.#others.has(address)) return false
    if (this.#prefixes.has(address)) return true
    if (this.#others.size >= mostOthers) this.#others.clear()
    this.#others.add(address)
    return false
  }
}

function guarded(config: TunnelConfig): Prefixes {
  return new Prefixes([...tunnelled(config), ...(config.unroutedTargets ?? [])])
}
