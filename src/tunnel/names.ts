import { setTimeout as sleep } from 'node:timers/promises'
import { canonical, covers, formatHostPort, isLiteral } from '../address.ts'
import type { PeerConfig } from '../config/config.ts'
import { EndError, messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { Reason } from '../reason.ts'
import { backoff, jittered } from './backoff.ts'
import { shortKey } from './peers.ts'
import { hasRoute } from './routes.ts'

/** The addresses of a name, the best first. Without `lastGood` only an answer of now will do. */
export type Resolve = (host: string, options?: ResolveOptions) => Promise<readonly string[]>

interface ResolveOptions {
  readonly refresh?: boolean
  readonly lastGood?: boolean
}

/** Milliseconds between two tries of a name that does not resolve. */
const firstRetry = 1000
const lastRetry = 30_000
/** Milliseconds that name servers have when an endpoint did not answer; its next rung comes soon after. */
const answerWithin = 5000

interface Endpoint {
  readonly host: string
  readonly port: number
  /** `ip:port`, once it is known. */
  address: string | undefined
  /** Why it is not. */
  why: string
  /** Whether name servers gave an address the last time that they were asked; a literal needs none. */
  resolves: boolean
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
  readonly #answerWithin: number
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
      readonly answerWithin?: number
    },
  ) {
    this.#resolve = options.resolve
    this.#log = options.log
    this.#usable = options.usable ?? hasRoute
    this.#retry = options.retry ?? (attempt => jittered(backoff(attempt, firstRetry, lastRetry)))
    this.#answerWithin = options.answerWithin ?? answerWithin
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
   * when the one in use is no longer among them. While no name server answers, the addresses known before have to do.
   * Resolves to whether there is another one now; never rejects.
   */
  async refresh({ publicKey }: PeerConfig, { ifGone }: { ifGone: boolean }): Promise<boolean> {
    const endpoint = this.#endpoints.get(publicKey)
    if (endpoint === undefined || isLiteral(endpoint.host)) return false
    const { host, port } = endpoint
    const fields = { peer: shortKey(publicKey), host }
    let found: readonly string[]
    try {
      const asked = this.#addressesOf(host, publicKey, { refresh: true, lastGood: false })
      found = await within(asked, this.#answerWithin)
      endpoint.resolves = true
    } catch (error) {
      endpoint.resolves = false
      this.#log.warn({ ...fields, error: messageOf(error) }, 'endpoint not resolved again')
      found = await this.#addressesOf(host, publicKey).catch(() => [])
    }
    const addresses = found.map(address => formatHostPort(address, port))
    const used = addresses.indexOf(endpoint.address!)
    const next = addresses[(used + 1) % addresses.length]
    if (next === undefined || next === endpoint.address || (ifGone && used >= 0)) return false
    endpoint.address = next
    this.#log.info({ ...fields, endpoint: next }, 'endpoint changed to another address')
    return true
  }

  /** Whether the endpoint's name resolved the last time that it was asked for; a literal always does. */
  resolves({ publicKey }: PeerConfig): boolean {
    return this.#endpoints.get(publicKey)?.resolves ?? true
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
        Object.assign(endpoint, { address, isNew: true, resolves: true })
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
  async #addressesOf(host: string, publicKey: string, options?: ResolveOptions): Promise<readonly string[]> {
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
  const isAddress = isLiteral(host)
  return {
    host,
    port,
    address: isAddress ? formatHostPort(host, port) : undefined,
    why: 'not resolved yet',
    resolves: isAddress,
    followed: false,
    isNew: false,
    moved: before !== undefined,
  }
}

/** Rejects with `UNRESOLVED` when there is no answer within this many milliseconds. */
async function within<T>(answer: Promise<T>, time: number): Promise<T> {
  const answered = new AbortController()
  const late = sleep(time, undefined, { signal: answered.signal }).then(() => {
    throw new EndError('UNRESOLVED', `no name server answered within ${time} ms`)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    answered.abort()
  }
}
