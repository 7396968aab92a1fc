import { createSocket } from 'node:dgram'
import { setTimeout as sleep } from 'node:timers/promises'
import { canonical, covers, familyOf, formatHostPort } from '../config/address.ts'
import type { PeerConfig } from '../config/config.ts'
import { EndError, messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Reason } from '../reason.ts'
import { backoff, jittered } from './backoff.ts'
import { shortKey } from './peers.ts'

/** The addresses of a name, the best first. */
export type Resolve = (host: string) => Promise<readonly string[]>

/** Milliseconds between two tries of a name that does not resolve. */
const firstRetry = 1000
const lastRetry = 30_000

/** The configured endpoints as addresses: literals at once, names as soon as they resolve. */
export class EndpointNames {
  readonly #resolve: Resolve
  readonly #log: Log
  readonly #usable: (address: string) => Promise<boolean>
  readonly #retry: (attempt: number) => number
  readonly #endpoints = new Map<PeerConfig, string>()
  readonly #new = new Set<PeerConfig>()
  readonly #unresolved = new Map<PeerConfig, string>()

  constructor(
    peers: readonly PeerConfig[],
    options: {
      readonly resolve: Resolve
      readonly log: Log
      readonly usable?: (address: string) => Promise<boolean>
      readonly retry?: (attempt: number) => number
    },
  ) {
    this.#resolve = options.resolve
    this.#log = options.log
    this.#usable = options.usable ?? hasRoute
    this.#retry = options.retry ?? (attempt => jittered(backoff(attempt, firstRetry, lastRetry)))
    for (const peer of peers) {
      if (peer.endpoint === undefined) continue
      const { host, port } = peer.endpoint
      if (familyOf(host) !== 0) this.#endpoints.set(peer, formatHostPort(host, port))
      else this.#unresolved.set(peer, 'not resolved yet')
    }
  }

  /** `ip:port` of a peer whose config names an endpoint, once it is known, for wireguard-go to be told. */
  take(peer: PeerConfig): string | undefined {
    this.#new.delete(peer)
    return this.#endpoints.get(peer)
  }

  /** What resolved since it was last taken. */
  takeNew(): [peer: PeerConfig, endpoint: string][] {
    const found = [...this.#new].map((peer): [PeerConfig, string] => [peer, this.#endpoints.get(peer)!])
    this.#new.clear()
    return found
  }

  /** Resolves every name, each tried again until it succeeds; `onResolved` is called for each. */
  async follow(signal: AbortSignal, onResolved: () => void): Promise<void> {
    await Promise.all([...this.#unresolved.keys()].map(peer => this.#follow(peer, signal, onResolved)))
  }

  reasons(): Reason[] {
    return [...this.#unresolved].map(([peer, why]) => ({
      code: 'endpoint-unresolved',
      detail: `the endpoint ${peer.endpoint?.host} of peer ${shortKey(peer.publicKey)} has no address: ${why}`,
      peer: peer.publicKey,
    }))
  }

  async #follow(peer: PeerConfig, signal: AbortSignal, onResolved: () => void): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      const fields = { peer: shortKey(peer.publicKey), host: peer.endpoint!.host }
      try {
        const endpoint = formatHostPort(await this.#addressOf(peer), peer.endpoint!.port)
        this.#endpoints.set(peer, endpoint)
        this.#new.add(peer)
        this.#unresolved.delete(peer)
        this.#log.debug({ ...fields, endpoint }, 'endpoint resolved')
        return onResolved()
      } catch (error) {
        const why = messageOf(error)
        if (this.#unresolved.get(peer) !== why)
          this.#log.error({ ...fields, error: why }, 'endpoint not resolved')
        this.#unresolved.set(peer, why)
      }
      await sleep(this.#retry(attempt), undefined, { signal }).catch(() => {})
    }
  }

  /** The first address that this host can send to, else the first: a host that still boots has no route yet. */
  async #addressOf(peer: PeerConfig): Promise<string> {
    const host = peer.endpoint!.host
    const found = (await this.#resolve(host)).map(canonical)
    if (found.length === 0) throw new EndError('UNRESOLVED', `${host} has no address`)
    const outside = found.filter(address => !peer.trusted.some(cidr => covers(cidr, address)))
    if (outside.length === 0)
      throw new EndError(
        'UNRESOLVED',
        `${found.join(', ')} is inside the peer's own AllowedIPs: the tunnel cannot run through itself`,
        { fix: 'Make AllowedIPs narrower, or the name resolve to the public address' },
      )
    for (const address of outside) if (await this.#usable(address)) return address
    return outside[0]!
  }
}

/** Whether there is a route to this address: a UDP socket finds out when it is connected, and sends nothing. */
export function hasRoute(address: string): Promise<boolean> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  return new Promise(resolve => {
    // With a callback Node gives a failure to it, as its argument, and emits no `error`.
    socket.connect(9, address, (error?: Error) => {
      socket.close()
      resolve(error === undefined)
    })
  })
}
