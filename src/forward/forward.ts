import { BlockList, type Socket } from 'node:net'
import type { ForwardConfig } from '../config/config.ts'
import type { Log } from '../log.ts'
import type { Reason } from '../reason.ts'
import { Connection, type ConnectionOwner } from './connection.ts'
import { Counters } from './counters.ts'
import type { Deadlines } from './deadlines.ts'
import type { ConnectionStatus, ForwardStatus } from './status.ts'
import { formatPorts, Target } from './target.ts'

export interface ForwardOptions {
  readonly log: Log
  /** Whether each connection gets a line at its end. */
  readonly logConnections: () => boolean
  /** All addresses of a name; rejects with `UNRESOLVED`. */
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly deadlines: Deadlines
  /** Told where each connection to a `tunnel:` listener came from. */
  readonly seen?: ((address: string) => void) | undefined
}

/** One entry of `forwards`: its target, its connections and their counters. Listeners hand it their clients. */
export class Forward implements ConnectionOwner {
  readonly log: Log
  readonly logConnections: () => boolean
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly deadlines: Deadlines
  readonly #seen: ForwardOptions['seen']
  readonly counters = new Counters()
  readonly target: Target
  #config: ForwardConfig
  #trusted = new BlockList()
  #listeners: readonly string[] = []
  readonly #connections = new Set<Connection>()
  #drain: AbortSignal | undefined
  #drained: (() => void) | undefined

  constructor(config: ForwardConfig, tunnelAddresses: readonly string[], options: ForwardOptions) {
    this.#config = config
    this.log = options.log
    this.logConnections = options.logConnections
    this.resolve = options.resolve
    this.deadlines = options.deadlines
    this.#seen = options.seen
    this.target = new Target(config.target)
    this.configure(config, tunnelAddresses)
  }

  get config(): ForwardConfig {
    return this.#config
  }

  /** From now on this; connections that run go on as they are. */
  configure(config: ForwardConfig, tunnelAddresses: readonly string[]): void {
    const { host, first, last } = config.listen
    const hosts = host === 'tunnel' ? tunnelAddresses : [host]
    this.#listeners = hosts.map(address => formatPorts({ host: address, first, last }))
    this.#trusted = new BlockList()
    for (const { address, bits, family } of config.trustedProxies)
      this.#trusted.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6')
    this.target.move(config.target)
    this.#config = config
  }

  /** A client of one of its listeners. */
  accept(socket: Socket, targetPort: number): void {
    // Reset before it was accepted: nobody knows any more whose it was.
    if (socket.remoteAddress === undefined) {
      socket.destroy()
      return
    }
    if (this.#config.listen.host === 'tunnel') this.#seen?.(socket.remoteAddress)
    const connection = new Connection(this, socket, targetPort)
    this.#connections.add(connection)
    connection.start()
    // Taken by the kernel before its listener was closed.
    if (this.#drain?.aborted) connection.abort()
  }

  /** Whether a PROXY header from there is believed. */
  trusts(address: string): boolean {
    return address !== '' && this.#trusted.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
  }

  ended(connection: Connection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) this.#drained?.()
  }

  /** Lets connections finish until `signal` is aborted, then resets those that are left. Its listeners are closed. */
  async drain(signal: AbortSignal): Promise<void> {
    this.#drain = signal
    if (this.#connections.size === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#drained = resolve
    const abort = () => {
      for (const connection of this.#connections) connection.abort()
    }
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    await promise
  }

  get active(): number {
    return this.#connections.size
  }

  status(): ForwardStatus {
    const { name, acceptProxy, sendProxy } = this.#config
    let { receivedBytes, sentBytes } = this.counters
    for (const connection of this.connections()) {
      receivedBytes += connection.receivedBytes
      sentBytes += connection.sentBytes
    }
    return {
      name,
      listeners: this.#listeners,
      acceptProxy,
      sendProxy,
      target: this.target.status,
      active: this.active,
      accepted: this.counters.accepted,
      checks: this.counters.checks,
      receivedBytes,
      sentBytes,
      droppedTlvs: this.counters.droppedTlvs,
      refused: { ...this.counters.refused },
    }
  }

  connections(): ConnectionStatus[] {
    return Array.from(this.#connections, connection => connection.status())
  }

  reasons(): Reason[] {
    const { state, address, error } = this.target.status
    if (state !== 'down') return []
    const { name } = this.#config
    const detail = `forward ${name}: ${address} does not take connections (${error})`
    return [{ code: 'backend-down', detail, forward: name }]
  }
}
