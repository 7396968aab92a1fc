import { formatHostPorts } from '../address.ts'
import type { ForwardConfig } from '../config/config.ts'
import { Prefixes, prefixesOf } from '../config/prefixes.ts'
import { Admission } from '../connection/admission.ts'
import { Counters } from '../connection/counters.ts'
import type { Deadlines } from '../connection/deadlines.ts'
import type { CommonForwardStatus, ConnectionStatus, ForwardStatus } from '../connection/status.ts'
import type { Tracing } from '../connection/trace.ts'
import type { Session } from '../link/session.ts'
import type { Log } from '../log/log.ts'
import type { Reason } from '../reason.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { newShare, type Share } from '../sockets/shares.ts'
import type { Try } from '../upstream/check.ts'
import type { Loops } from '../upstream/loops.ts'
import type { Target } from '../upstream/target.ts'
import { Upstreams } from '../upstream/upstreams.ts'
import { version } from '../version.ts'
import type { Ways } from '../ways.ts'
import { nobodyTrusted } from './nobody-trusted.ts'
import type { Peers } from './peers.ts'

export interface ForwardOptions {
  readonly log: Log
  /** Whether each connection gets a line at its end. */
  readonly logConnections: () => boolean
  /** All addresses of a name; rejects with `UNRESOLVED`. */
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly deadlines: Deadlines
  readonly descriptors: Descriptors
  /** Whose a connection is that came through the tunnel. */
  readonly peers: Peers
  readonly ways: Ways
  /** A link to this address that takes streams now. */
  readonly linkTo: (address: string) => Session | undefined
  readonly loops: Loops
  /** A target of it went up or down. */
  readonly targetChanged: (forward: Forward) => void
  /** What is told of this end to who traces a connection. */
  readonly tracing?: Tracing
  /** Told where each connection came from, and whether it came through the tunnel. */
  readonly seen?: ((address: string, throughTunnel: boolean) => void) | undefined
}

/** What a forward has open: connections or flows. */
export interface Opened {
  readonly size: number
  /** That they are with. */
  readonly addresses: readonly string[]
  /** Ends those that have to do with this address, to which data does not leave through the tunnel. */
  cut(address: string, why: string): void
  status(): ConnectionStatus[]
}

/** One entry of `forwards`, whatever its protocol: its targets, its limits, its counters. Listeners hand it their clients. */
export abstract class Forward<C extends ForwardConfig = ForwardConfig> {
  readonly log: Log
  readonly logConnections: () => boolean
  readonly deadlines: Deadlines
  readonly descriptors: Descriptors
  /** Of the descriptors. */
  readonly share: Share
  readonly ways: Ways
  readonly loops: Loops
  readonly tracing: Tracing
  readonly counters = new Counters()
  readonly admission = new Admission()
  readonly upstreams: Upstreams
  protected readonly peers: Peers
  protected readonly seen: ForwardOptions['seen']
  #config: C
  #trusted = new Prefixes([])
  #listeners: readonly string[] = []

  /** It does nothing before it is configured. */
  constructor(config: C, options: ForwardOptions) {
    this.#config = config
    this.log = options.log
    this.logConnections = options.logConnections
    this.deadlines = options.deadlines
    this.descriptors = options.descriptors
    this.share = newShare(`forward ${config.name}`)
    this.peers = options.peers
    this.ways = options.ways
    this.loops = options.loops
    this.seen = options.seen
    this.tracing = options.tracing ?? { end: () => ({ version, mtu: undefined }) }
    this.upstreams = new Upstreams({
      name: config.name,
      log: options.log,
      descriptors: options.descriptors,
      resolve: options.resolve,
      knock: (target, told) => this.knock(target, told),
      changed: () => {
        this.changed()
        options.targetChanged(this)
      },
    })
  }

  abstract readonly opened: Opened

  /** The port that an end with a link to this one reaches it by, and is told of. */
  abstract readonly linkPort: number | undefined

  /** Tries a target without a client. */
  protected abstract knock(target: Target, told: (error: string | undefined) => void): Try

  /** Looks for clients and targets that have gone while nobody read them. */
  abstract look(): void

  /** Lets what is open finish until `signal` is aborted, then ends what is left. Nothing new comes. */
  abstract drain(signal: AbortSignal): Promise<void>

  abstract status(): ForwardStatus

  get config(): C {
    return this.#config
  }

  /** From now on this; what is open goes on as it is. */
  configure(config: C, tunnelAddresses: readonly string[]): void {
    const { host, first, last } = config.listen
    const hosts = host === 'tunnel' ? tunnelAddresses : [host]
    this.#listeners = hosts.map(address => formatHostPorts({ host: address, first, last }))
    this.#trusted = prefixesOf(config.trustedProxies)
    this.#config = config
    this.upstreams.configure(config)
  }

  /** Whether a PROXY header from there is believed. */
  trusts(address: string): boolean {
    return this.#trusted.has(address)
  }

  /** Nobody who comes could be served. */
  get isDead(): boolean {
    return this.upstreams.areDead
  }

  /** One for each name that is not served; of the forward itself where none is. */
  reasons(): Reason[] {
    const { name } = this.#config
    const of = this.upstreams.areDown ? { forward: name } : {}
    const failures = this.upstreams.failures.map((failure): Reason => {
      return { code: 'backend-down', detail: `forward ${name}: ${failure}`, ...of }
    })
    return [...failures, ...nobodyTrusted(this.#config)]
  }

  /** Its targets do otherwise than before, or there are others. */
  protected changed(): void {}

  /** @param open what is open now. */
  protected commonStatus(open: readonly ConnectionStatus[]): CommonForwardStatus {
    const { name, proxyHeaderLimit, upstream } = this.#config
    let { receivedBytes, sentBytes } = this.counters
    for (const one of open) {
      receivedBytes += one.receivedBytes
      sentBytes += one.sentBytes
    }
    return {
      name,
      listeners: this.#listeners,
      proxyHeaderLimit,
      balance: upstream.balance,
      targets: this.upstreams.status(),
      active: this.opened.size,
      ...this.counters,
      receivedBytes,
      sentBytes,
      refused: { ...this.counters.refused },
    }
  }
}
