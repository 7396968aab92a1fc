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
export type Resolve = (host: string, options?: { readonly refresh?: boolean }) => Promise<readonly string[]>

/** Milliseconds between two tries of a name that does not resolve. */
const firstRetry = 1000
const lastRetry = 30_000

interface Endpoint {
  readonly host: string
  readonly port: number
  /** `ip:port`, once it is known. */
  address: string | undefined
  /** Why it is not. */
  why: string
  /** Whether it is being resolved. */
  followed: boolean
  /** Whether wireguard-go does not have this address yet. */
  isNew: boolean
  /** Whether it takes the place of another one. */
  readonly moved: boolean
}

/** An endpoint for wireguard-go to be told. */
export interface NewEndpoint {
  readonly peer: PeerConfig
  /** `ip:port` */
  readonly endpoint: string
  /** The config named another place before: a session with that says nothing of this. */
  readonly moved: boolean
}

/** The configured endpoints as addresses: literals at once, names as soon as they resolve. */
export class EndpointNames {
  readonly #resolve: Resolve
  readonly #log: Log
  readonly #usable: (address: string) => Promise<boolean>
  readonly #retry: (attempt: number) => number
  /** Those with an endpoint, by public key. */
  #peers: ReadonlyMap<string, PeerConfig> = new Map()
  #endpoints: ReadonlyMap<string, Endpoint> = new Map()
  #following: { readonly signal: AbortSignal; readonly onResolved: () => void } | undefined

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
    this.apply(peers)
  }

  /**
   * Goes on with these peers: endpoints that stay keep their address, names that are new are followed.
   * Returns the way back.
   */
  apply(peers: readonly PeerConfig[]): () => void {
    const [peersBefore, endpointsBefore] = [this.#peers, this.#endpoints]
    const named = peers.filter(({ endpoint }) => endpoint !== undefined)
    this.#peers = new Map(named.map(peer => [peer.publicKey, peer]))
    this.#endpoints = new Map(
      named.map(({ publicKey, endpoint }) => [
        publicKey,
        carriedOn(endpointsBefore.get(publicKey), endpoint!.host, endpoint!.port),
      ]),
    )
    this.#followAll()
    return () => {
      this.#peers = peersBefore
      this.#endpoints = endpointsBefore
      this.#followAll()
    }
  }

  /** `ip:port` of a peer whose config names an endpoint, once it is known, for wireguard-go to be told. */
  take({ publicKey }: PeerConfig): string | undefined {
    const endpoint = this.#endpoints.get(publicKey)
    if (endpoint !== undefined) endpoint.isNew = false
    return endpoint?.address
  }

  /** What resolved since it was last taken. */
  takeNew(): NewEndpoint[] {
    return [...this.#endpoints]
      .filter(([, { isNew }]) => isNew)
      .map(([key, { moved }]) => {
        const peer = this.#peers.get(key)!
        return { peer, endpoint: this.take(peer)!, moved }
      })
  }

  /** From now on resolves every name, each tried again until it succeeds; `onResolved` is called for each. */
  follow(signal: AbortSignal, onResolved: () => void): void {
    this.#following = { signal, onResolved }
    this.#followAll()
  }

  /**
   * Asks for the name again and goes on to the next of its addresses; the endpoint did not answer. With `ifGone` only
   * when the one in use is no longer among them. Resolves to whether there is another one now; never rejects.
   */
  async refresh({ publicKey }: PeerConfig, { ifGone }: { ifGone: boolean }): Promise<boolean> {
    const endpoint = this.#endpoints.get(publicKey)
    if (endpoint === undefined || familyOf(endpoint.host) !== 0) return false
    const { host, port } = endpoint
    const fields = { peer: shortKey(publicKey), host }
    try {
      const found = await this.#addressesOf(host, publicKey, { refresh: true })
      const addresses = found.map(address => formatHostPort(address, port))
      const used = addresses.indexOf(endpoint.address!)
      if (ifGone && used >= 0) return false
      const next = addresses[(used + 1) % addresses.length]!
      if (next === endpoint.address) return false
      endpoint.address = next
      this.#log.info({ ...fields, endpoint: next }, 'endpoint changed to another address')
      return true
    } catch (error) {
      this.#log.warn({ ...fields, error: messageOf(error) }, 'endpoint not resolved again')
      return false
    }
  }

  reasons(): Reason[] {
    return [...this.#endpoints]
      .filter(([, { address }]) => address === undefined)
      .map(([peer, { host, why }]) => ({
        code: 'endpoint-unresolved',
        detail: `the endpoint ${host} of peer ${shortKey(peer)} has no address: ${why}`,
        peer,
      }))
  }

  #followAll(): void {
    for (const [publicKey, endpoint] of this.#endpoints)
      if (endpoint.address === undefined && !endpoint.followed) void this.#follow(publicKey, endpoint)
  }

  async #follow(publicKey: string, endpoint: Endpoint): Promise<void> {
    if (this.#following === undefined) return
    const { signal, onResolved } = this.#following
    const { host, port } = endpoint
    const fields = { peer: shortKey(publicKey), host }
    const isWanted = () => !signal.aborted && this.#endpoints.get(publicKey) === endpoint
    endpoint.followed = true
    for (let attempt = 0; endpoint.address === undefined && isWanted(); attempt++) {
      try {
        const [first] = await this.#addressesOf(host, publicKey)
        const address = formatHostPort(first!, port)
        if (!isWanted()) break
        endpoint.address = address
        endpoint.isNew = true
        this.#log.debug({ ...fields, endpoint: address }, 'endpoint resolved')
        onResolved()
      } catch (error) {
        const why = messageOf(error)
        if (endpoint.why !== why) this.#log.error({ ...fields, error: why }, 'endpoint not resolved')
        endpoint.why = why
        await sleep(this.#retry(attempt), undefined, { signal }).catch(() => {})
      }
    }
    endpoint.followed = false
  }

  /** The addresses that this host can send to, else all of them: a host that still boots has no route yet. */
  async #addressesOf(
    host: string,
    publicKey: string,
    options?: { readonly refresh: boolean },
  ): Promise<readonly string[]> {
    const found = (await this.#resolve(host, options)).map(canonical)
    if (found.length === 0) throw new EndError('UNRESOLVED', `${host} has no address`)
    const inside = this.#peers.get(publicKey)?.trusted ?? []
    const outside = found.filter(address => !inside.some(cidr => covers(cidr, address)))
    if (outside.length === 0)
      throw new EndError(
        'UNRESOLVED',
        `${found.join(', ')} is inside the peer's own AllowedIPs: the tunnel cannot run through itself`,
        { fix: 'Make AllowedIPs narrower, or the name resolve to the public address' },
      )
    const usable = await Promise.all(outside.map(this.#usable))
    return usable.includes(true) ? outside.filter((_, i) => usable[i]) : outside
  }
}

function carriedOn(before: Endpoint | undefined, host: string, port: number): Endpoint {
  if (before?.host === host && before.port === port) return before
  return {
    host,
    port,
    address: familyOf(host) === 0 ? undefined : formatHostPort(host, port),
    why: 'not resolved yet',
    followed: false,
    isNew: false,
    moved: before !== undefined,
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
