import { BlockList, type Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { formatHostPort, type HostPorts } from '../config/address.ts'
import type { ForwardConfig } from '../config/config.ts'
import type { Log } from '../log.ts'
import type { Reason } from '../reason.ts'
import { Connection } from './connection.ts'
import type { Deadlines } from './deadlines.ts'
import type { Relay } from './relay.ts'
import {
  type ConnectionStatus,
  type ForwardStatus,
  type RefusalReason,
  refusalReasons,
  type TargetStatus,
} from './status.ts'

export interface ForwardOptions {
  readonly log: Log
  /** Whether each connection gets a line at its end. */
  readonly logConnections: () => boolean
  /** All addresses of a name; rejects with `UNRESOLVED`. */
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly deadlines: Deadlines
}

/** One entry of `forwards`: its target, its connections and their counters. Listeners hand it their clients. */
export class Forward {
  readonly log: Log
  readonly logConnections: () => boolean
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly deadlines: Deadlines
  #config: ForwardConfig
  #trusted = new BlockList()
  #listeners: readonly string[] = []
  readonly #connections = new Set<Connection>()
  readonly #refused = Object.fromEntries(refusalReasons.map(reason => [reason, 0])) as Record<
    RefusalReason,
    number
  >
  #accepted = 0
  #checks = 0
  #droppedTlvs = 0
  /** Of connections that have ended. */
  #receivedBytes = 0
  #sentBytes = 0
  #target: TargetStatus
  #drained: (() => void) | undefined

  constructor(config: ForwardConfig, tunnelAddresses: readonly string[], options: ForwardOptions) {
    this.#config = config
    this.log = options.log
    this.logConnections = options.logConnections
    this.resolve = options.resolve
    this.deadlines = options.deadlines
    this.#target = unknown(config.target)
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
    if (!isDeepStrictEqual(config.target, this.#config.target)) this.#target = unknown(config.target)
    this.#config = config
  }

  /** A client of one of its listeners. */
  accept(socket: Socket, targetPort: number): void {
    const connection = new Connection(this, socket, targetPort)
    this.#connections.add(connection)
    connection.start()
  }

  trusts(address: string): boolean {
    return this.#trusted.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
  }

  /** A connection whose client is known. */
  count(check: boolean): void {
    if (check) this.#checks++
    else this.#accepted++
  }

  countRefusal(reason: RefusalReason): void {
    this.#refused[reason]++
  }

  countDroppedTlvs(count: number): void {
    this.#droppedTlvs += count
  }

  targetConnected(): void {
    if (this.#target.state !== 'up')
      this.#target = { ...this.#target, state: 'up', since: Date.now(), error: undefined }
  }

  targetFailed(error: string): void {
    const since = this.#target.state === 'down' ? this.#target.since : Date.now()
    this.#target = { ...this.#target, state: 'down', since, error }
  }

  ended(connection: Connection, relay: Relay | undefined): void {
    if (relay !== undefined) {
      this.#receivedBytes += relay.receivedBytes
      this.#sentBytes += relay.sentBytes
    }
    this.#connections.delete(connection)
    if (this.#connections.size === 0) this.#drained?.()
  }

  /** Lets connections finish until `signal` is aborted, then resets those that are left. Its listeners are closed. */
  async drain(signal: AbortSignal): Promise<void> {
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
    let [receivedBytes, sentBytes] = [this.#receivedBytes, this.#sentBytes]
    for (const connection of this.connections()) {
      receivedBytes += connection.receivedBytes
      sentBytes += connection.sentBytes
    }
    return {
      name: this.config.name,
      listeners: this.#listeners,
      acceptProxy: this.config.acceptProxy,
      sendProxy: this.config.sendProxy,
      target: this.#target,
      active: this.active,
      accepted: this.#accepted,
      checks: this.#checks,
      receivedBytes,
      sentBytes,
      droppedTlvs: this.#droppedTlvs,
      refused: { ...this.#refused },
    }
  }

  connections(): ConnectionStatus[] {
    return Array.from(this.#connections, connection => connection.status())
  }

  reasons(): Reason[] {
    if (this.#target.state !== 'down') return []
    const detail = `forward ${this.config.name}: ${this.#target.address} does not take connections (${this.#target.error})`
    return [{ code: 'backend-down', detail, forward: this.config.name }]
  }
}

function unknown(target: HostPorts): TargetStatus {
  return { address: formatPorts(target), state: 'unknown', since: Date.now(), error: undefined }
}

function formatPorts({ host, first, last }: HostPorts): string {
  const address = formatHostPort(host === '' ? '*' : host, first)
  return first === last ? address : `${address}-${last}`
}
