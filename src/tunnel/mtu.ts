import { messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { Reason } from '../reason.ts'
import { type Peers, shortKey } from './peers.ts'

/** What any path carries that carries IPv6 (RFC 8200 section 5). */
const safe = 1280

/**
 * The MTU of the tunnel, in bytes: the config's, until full-size packets to a peer are lost. It goes back up only
 * with another config or another run: trying would lose packets again and again.
 */
export class Mtu {
  readonly #set: (mtu: number) => Promise<void>
  readonly #log: Log
  #value: number
  #lostFor: string | undefined

  constructor(
    configured: number,
    options: {
      /** Gives it to the device. */
      readonly set: (mtu: number) => Promise<void>
      readonly log: Log
    },
  ) {
    this.#set = options.set
    this.#log = options.log
    this.#value = configured
  }

  get value(): number {
    return this.#value
  }

  apply(configured: number): void {
    this.#value = configured
    this.#lostFor = undefined
  }

  /** To be called about once a second: steps down when one of these peers needs it. */
  tick(peers: Peers): void {
    const lossy = [...peers].find(({ path }) => path.state.name === 'mtu-black-hole')
    if (lossy === undefined || this.#value <= safe) return
    this.#lostFor = lossy.config.publicKey
    this.#log.warn({ peer: shortKey(this.#lostFor), from: this.#value, to: safe }, 'MTU stepped down')
    this.#value = safe
    void this.#set(safe).catch(error => this.#log.warn({ error: messageOf(error) }, 'MTU not set'))
  }

  reasons(): Reason[] {
    if (this.#lostFor === undefined) return []
    const detail = `full-size packets to peer ${shortKey(this.#lostFor)} were lost: the MTU is ${safe} until a restart or reload; set tunnel.mtu to what the path carries`
    return [{ code: 'mtu-black-hole', detail, peer: this.#lostFor, serving: true }]
  }
}
