import type { Socket } from 'node:net'
import { formatHostPorts, unmap } from '../address.ts'
import type { TcpForwardConfig } from '../config/config.ts'
import { Prefixes, prefixesOf } from '../config/prefixes.ts'
import { Admission } from '../connection/admission.ts'
import { clientOf } from '../connection/arrival.ts'
import { Client } from '../connection/client.ts'
import { Connection } from '../connection/connection.ts'
import { Counters } from '../connection/counters.ts'
import type { Deadlines } from '../connection/deadlines.ts'
import { type Downstream, StreamDownstream } from '../connection/downstream.ts'
import { type ConnectionLines, connectionLines } from '../connection/lines.ts'
import type { ConnectionOwner, OpenConnection } from '../connection/owner.ts'
import { SocketDownstream } from '../connection/socket-downstream.ts'
import type { TcpForwardStatus } from '../connection/status.ts'
import type { Tracing } from '../connection/trace.ts'
import type { Arrival } from '../link/acceptor.ts'
import type { Session } from '../link/session.ts'
import type { Log } from '../log.ts'
import type { Reason } from '../reason.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { reset } from '../sockets/reset.ts'
import { newShare, type Share } from '../sockets/shares.ts'
import { Knock } from '../upstream/knock.ts'
import type { Loops } from '../upstream/loops.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Target } from '../upstream/target.ts'
import { Upstreams } from '../upstream/upstreams.ts'
import { version } from '../version.ts'
import type { Ways } from '../ways.ts'
import { Connections } from './connections.ts'
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

/** One entry of `forwards`: its targets, its connections and their counters. Listeners hand it their clients. */
export class Forward implements ConnectionOwner {
  readonly log: Log
  readonly logConnections: () => boolean
  readonly deadlines: Deadlines
  readonly descriptors: Descriptors
  /** Of the descriptors. */
  readonly share: Share
  readonly #peers: Peers
  readonly ways: Ways
  readonly loops: Loops
  readonly lines: ConnectionLines
  readonly tracing: Tracing
  readonly #seen: ForwardOptions['seen']
  readonly counters = new Counters()
  readonly admission = new Admission()
  readonly upstreams: Upstreams
  readonly #linkTo: ForwardOptions['linkTo']
  #config: TcpForwardConfig
  #trusted = new Prefixes([])
  #listeners: readonly string[] = []
  readonly connections = new Connections()

  /** It does nothing before it is configured. */
  constructor(config: TcpForwardConfig, options: ForwardOptions) {
    this.#config = config
    this.log = options.log
    this.logConnections = options.logConnections
    this.deadlines = options.deadlines
    this.descriptors = options.descriptors
    this.share = newShare(`forward ${config.name}`)
    this.#peers = options.peers
    this.ways = options.ways
    this.loops = options.loops
    this.lines = connectionLines(options.log, config.name)
    this.#linkTo = options.linkTo
    this.#seen = options.seen
    this.tracing = options.tracing ?? { end: () => ({ version, mtu: undefined }) }
    this.upstreams = new Upstreams({
      name: config.name,
      log: options.log,
      descriptors: options.descriptors,
      resolve: options.resolve,
      knock: (target, told) => this.#knock(target, told),
      changed: () => options.targetChanged(this),
    })
  }

  get config(): TcpForwardConfig {
    return this.#config
  }

  /** From now on this; connections that run go on as they are. */
  configure(config: TcpForwardConfig, tunnelAddresses: readonly string[]): void {
    const { host, first, last } = config.listen
    const hosts = host === 'tunnel' ? tunnelAddresses : [host]
    this.#listeners = hosts.map(address => formatHostPorts({ host: address, first, last }))
    this.#trusted = prefixesOf(config.trustedProxies)
    this.admission.configure(config.limits)
    this.#config = config
    this.upstreams.configure(config)
  }

  /** A client of one of its listeners. */
  accept(socket: Socket, offset: number): void {
    // Reset before it was accepted: nobody knows any more whose it was.
    if (socket.remoteAddress === undefined) {
      socket.destroy()
      return
    }
    const isTunnel = this.#config.listen.host === 'tunnel'
    const peer = isTunnel ? this.#peers.of(unmap(socket.remoteAddress)) : undefined
    const shortage = this.descriptors.shortage(2, this.share, peer)
    if (shortage !== undefined) {
      this.#turnAway(socket, shortage)
      return
    }
    this.#seen?.(socket.remoteAddress, isTunnel)
    // Its own, and its target's.
    this.#begin(new SocketDownstream(socket, peer), offset, 2)
  }

  /** A client that another end took and sent over a link, as if it had come to one of its listeners. */
  acceptStream(arrival: Arrival, offset: number): void {
    const { stream, session, peer, remoteAddress } = arrival
    const client = clientOf(arrival, this)
    if (client instanceof Client) {
      this.#begin(new StreamDownstream(stream, session, peer, client), offset, 1)
      return
    }
    this.#countRefusal(client.reason, remoteAddress, client.detail)
    stream.abort(client)
  }

  take(count: number, peer: Share | undefined): void {
    this.descriptors.take(count, this.share, peer)
  }

  #begin(downstream: Downstream, offset: number, descriptors: number): void {
    this.connections.begin(new Connection(this, downstream, offset), downstream, descriptors)
  }

  linkTo(address: string): Session | undefined {
    return this.#config.sendProxy === false ? undefined : this.#linkTo(address)
  }

  /** At once: one more would take the descriptors that established connections, probes and health checks need. */
  #turnAway(socket: Socket, shortage: string): void {
    this.#countRefusal('descriptor-limit', unmap(socket.remoteAddress ?? ''), shortage)
    socket.on('error', () => {})
    reset(socket)
  }

  #countRefusal(reason: RefusalReason, client: string, detail: string): void {
    this.counters.refused[reason]++
    this.lines.refused.warn(reason, { client, reason, detail })
  }

  /** Whether a PROXY header from there is believed. */
  trusts(address: string): boolean {
    return this.#trusted.has(address)
  }

  #knock(target: Target, told: (error: string | undefined) => void): Knock {
    return new Knock(target, this, { session: this.linkTo(target.address), told })
  }

  /** The port that an end with a link to this one reaches it by, and is told of. */
  get linkPort(): number | undefined {
    const { listen, acceptProxy } = this.#config
    return acceptProxy === false || listen.first !== listen.last ? undefined : listen.first
  }

  /** Nobody who comes could be served. */
  get isDead(): boolean {
    return this.upstreams.areDead
  }

  ended(connection: OpenConnection): void {
    this.admission.release(connection)
    this.connections.ended(connection)
  }

  /** Lets connections finish until `signal` is aborted, then resets those that are left. Its listeners are closed. */
  async drain(signal: AbortSignal): Promise<void> {
    this.upstreams.close()
    await this.connections.drain(signal)
    for (const lines of Object.values(this.lines)) lines.flush()
  }

  status(): TcpForwardStatus {
    const { name, acceptProxy, sendProxy, proxyHeaderLimit, upstream } = this.#config
    let { receivedBytes, sentBytes } = this.counters
    for (const connection of this.connections.status()) {
      receivedBytes += connection.receivedBytes
      sentBytes += connection.sentBytes
    }
    return {
      protocol: 'tcp',
      name,
      listeners: this.#listeners,
      acceptProxy,
      sendProxy,
      proxyHeaderLimit,
      balance: upstream.balance,
      targets: this.upstreams.status(),
      active: this.connections.size,
      ...this.counters,
      receivedBytes,
      sentBytes,
      refused: { ...this.counters.refused },
    }
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
}
