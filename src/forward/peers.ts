import { type Cidr, covers } from '../config/address.ts'
import type { PeerConfig } from '../config/config.ts'
import { newShare, type Share, type Shares } from '../shares.ts'

/** A peer's prefix. */
interface Place {
  readonly prefix: Cidr
  readonly share: Share
}

/** Addresses whose peer is remembered. */
const mostKnown = 1000

/** Which peer a connection that came through the tunnel is from, by its AllowedIPs. Peers share descriptors. */
export class Peers {
  readonly #shares: Shares
  /** Of whom none has an address: nothing is guaranteed to them. */
  readonly #strangers = newShare('who is no peer')
  #byKey: ReadonlyMap<string, Share> = new Map()
  /** The longest prefix first, as WireGuard takes them. */
  #places: readonly Place[] = []
  readonly #known = new Map<string, Share>()

  constructor(shares: Shares) {
    this.#shares = shares
  }

  /** From now on these; one that stays keeps what is counted of it. */
  configure(peers: readonly Pick<PeerConfig, 'publicKey' | 'allowedIps'>[]): void {
    const shareOf = (key: string) => this.#byKey.get(key) ?? newShare(`peer ${key.slice(0, 8)}`)
    this.#byKey = new Map(peers.map(({ publicKey }) => [publicKey, shareOf(publicKey)]))
    this.#places = peers
      .flatMap(({ publicKey, allowedIps }) =>
        allowedIps.map(prefix => ({ prefix, share: this.#byKey.get(publicKey)! })),
      )
      .sort((a, b) => b.prefix.bits - a.prefix.bits)
    this.#known.clear()
    this.#shares.configure([...this.#byKey.values()])
  }

  /** Addresses that are remembered. */
  get known(): number {
    return this.#known.size
  }

  /** IPv4-mapped IPv6 is to be un-mapped. */
  of(address: string): Share {
    const known = this.#known.get(address)
    if (known !== undefined) return known
    const share = this.#places.find(({ prefix }) => covers(prefix, address))?.share ?? this.#strangers
    if (this.#known.size >= mostKnown) this.#known.clear()
    this.#known.set(address, share)
    return share
  }
}
