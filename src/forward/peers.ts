import type { Cidr } from '../address.ts'
import type { PeerConfig } from '../config/config.ts'
import { Covered } from '../config/covered.ts'
import { newShare, type Share, type Shares } from '../sockets/shares.ts'

/** Which peer a connection that came through the tunnel is from, by its AllowedIPs. Peers share descriptors. */
export class Peers {
  readonly #shares: Shares
  /** Of whom none has an address: nothing is guaranteed to them. */
  readonly #strangers = newShare('who is no peer')
  #byKey: ReadonlyMap<string, Share> = new Map()
  #places = new Covered<Cidr & { readonly share: Share }>([])

  constructor(shares: Shares) {
    this.#shares = shares
  }

  /** From now on these; one that stays keeps what is counted of it. */
  configure(peers: readonly Pick<PeerConfig, 'publicKey' | 'allowedIps'>[]): void {
    const shareOf = (key: string) => this.#byKey.get(key) ?? newShare(`peer ${key.slice(0, 8)}`)
    this.#byKey = new Map(peers.map(({ publicKey }) => [publicKey, shareOf(publicKey)]))
    const placesOf = ({ publicKey, allowedIps }: (typeof peers)[number]) =>
      allowedIps.map(prefix => ({ ...prefix, share: this.#byKey.get(publicKey)! }))
    this.#places = new Covered(peers.flatMap(placesOf))
    this.#shares.configure([...this.#byKey.values()])
  }

  /** Whether it is one's. */
  has(address: string): boolean {
    return this.#places.find(address) !== undefined
  }

  /** The longest prefix says it, as in WireGuard. IPv4-mapped IPv6 is to be un-mapped. */
  of(address: string): Share {
    return this.#places.find(address)?.share ?? this.#strangers
  }
}
