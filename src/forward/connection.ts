import type { Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import type { ForwardConfig, Timeouts } from '../config/config.ts'
import type { EndError } from '../errors.ts'
import type { Log } from '../log.ts'
import { Client } from './client.ts'
import type { Counters } from './counters.ts'
import type { Deadlines, Timed } from './deadlines.ts'
import { Dial } from './dial.ts'
import { type ProxyHeader, ProxyHeaderError, parseProxyHeader } from './proxy-header.ts'
import { Relay, type RelayEnd, type RelayOwner } from './relay.ts'
import { reset } from './reset.ts'
import type { ConnectionStatus, RefusalReason } from './status.ts'
import type { Target } from './target.ts'

/** Bytes of a client that are kept until its target is connected; then the client waits. */
const heldLimit = 65_536

/** The forward that a connection belongs to. */
export interface ConnectionOwner {
  readonly config: ForwardConfig
  readonly target: Target
  readonly counters: Counters
  readonly deadlines: Deadlines
  readonly log: Log
  readonly logConnections: () => boolean
  readonly resolve: (host: string) => Promise<readonly string[]>
  trusts(address: string): boolean
  ended(connection: Connection): void
}

/** An accepted socket with its connection: state on the socket spares closures. */
interface ClientSocket extends Socket {
  connection: Connection
}

/**
 * One client of a forward, from accept to the last byte: receive its PROXY header where one is required, dial the
 * target, write the header and what the client has sent so far in one piece, relay. What fails before the relay is a
 * refusal: the client gets a reset, the log one line, the forward's counter one more.
 */
export class Connection implements Timed, RelayOwner {
  deadline = 0
  readonly #forward: ConnectionOwner
  readonly #socket: ClientSocket
  readonly #client: Client
  readonly #targetPort: number
  readonly #since = Date.now()
  #phase: 'header' | 'dialling' | 'relaying' | 'closed' = 'header'
  #held: Buffer[] = []
  #heldBytes = 0
  #dial: Dial | undefined
  #relay: Relay | undefined

  constructor(forward: ConnectionOwner, socket: Socket, targetPort: number) {
    this.#forward = forward
    this.#socket = socket as ClientSocket
    this.#socket.connection = this
    this.#targetPort = targetPort
    this.#client = new Client(socket)
  }

  start(): void {
    this.#socket.on('error', Connection.#onGone)
    this.#socket.on('close', Connection.#onGone)
    const { acceptProxy, timeouts } = this.#forward.config
    if (acceptProxy !== false && !this.#forward.trusts(this.#client.source.address)) {
      this.#refuse('untrusted-source', `${this.#client.source.address} is not in trustedProxies`)
      return
    }
    this.#socket.on('data', Connection.#onData)
    if (acceptProxy === false) {
      this.#accept()
    } else {
      this.#socket.on('end', Connection.#onEnd)
      this.#forward.deadlines.set(this, timeouts.header)
    }
  }

  get deadlines(): Deadlines {
    return this.#forward.deadlines
  }

  get timeouts(): Timeouts {
    return this.#forward.config.timeouts
  }

  status(): ConnectionStatus {
    const { source, id } = this.#client
    return {
      forward: this.#forward.config.name,
      client: formatHostPort(source.address, source.port),
      target: formatHostPort(this.#forward.config.target.host, this.#targetPort),
      since: this.#since,
      receivedBytes: this.#relay?.receivedBytes ?? 0,
      sentBytes: this.#relay?.sentBytes ?? 0,
      id: id?.toString('hex'),
    }
  }

  /** Ends it with a reset, whatever it does now: the drain time is over. */
  abort(): void {
    if (this.#relay === undefined) this.#refuse('draining', 'the drain time is over')
    else this.#relay.abort('drain-timeout')
  }

  /** A deadline has passed: that of the header or of the dial. */
  expire(): void {
    const { header, connect } = this.#forward.config.timeouts
    if (this.#phase === 'header') this.#refuse('header-timeout', `no whole PROXY header within ${header} ms`)
    else if (this.#phase === 'dialling') this.#failed(`no answer within ${connect} ms`)
  }

  static #onData(this: ClientSocket, chunk: Buffer): void {
    const connection = this.connection
    connection.#held.push(chunk)
    connection.#heldBytes += chunk.length
    if (connection.#phase === 'header') connection.#receiveHeader()
    else if (connection.#heldBytes >= heldLimit) this.pause()
  }

  static #onEnd(this: ClientSocket): void {
    const connection = this.connection
    if (connection.#phase === 'header') connection.#headerMissing()
  }

  static #onGone(this: ClientSocket): void {
    const connection = this.connection
    if (connection.#phase === 'header') connection.#headerMissing()
    else connection.done('client-reset', 'before its target was connected')
  }

  #headerMissing(): void {
    this.#refuse('header-missing', `closed after ${this.#heldBytes} bytes without a whole PROXY header`)
  }

  #receiveHeader(): void {
    const bytes = this.#held.length === 1 ? this.#held[0]! : Buffer.concat(this.#held, this.#heldBytes)
    let header: ProxyHeader | undefined
    try {
      header = parseProxyHeader(bytes, this.#forward.config.acceptProxy || 'any')
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) throw error
      this.#refuse('header-invalid', error.message)
      return
    }
    this.#held = [bytes]
    if (header === undefined) return
    this.#heldBytes -= header.length
    this.#held = this.#heldBytes === 0 ? [] : [bytes.subarray(header.length)]
    this.#client.learn(header)
    this.#accept()
  }

  /** The client is known: on to its target. */
  #accept(): void {
    const { config, deadlines } = this.#forward
    this.#phase = 'dialling'
    if (this.#client.isCheck) this.#forward.counters.checks++
    else this.#forward.counters.accepted++
    this.#client.identify(config.sendProxy)
    deadlines.set(this, config.timeouts.connect)
    this.#forward.resolve(config.target.host).then(
      addresses => this.#dialAny(addresses),
      (error: EndError) => this.#failed(error.message),
    )
  }

  #dialAny(addresses: readonly string[]): void {
    if (this.#phase !== 'dialling') return
    this.#dial = new Dial(
      addresses,
      this.#targetPort,
      socket => this.#connected(socket),
      error => this.#failed(error.message),
    )
  }

  #failed(detail: string): void {
    if (this.#phase !== 'dialling') return
    this.#forward.target.failed(detail)
    this.#refuse('target-failed', detail)
  }

  #connected(target: Socket): void {
    this.#phase = 'relaying'
    this.#forward.deadlines.clear(this)
    this.#forward.target.connected()
    this.#dial = undefined
    this.#socket.off('data', Connection.#onData)
    this.#socket.off('end', Connection.#onEnd)
    this.#socket.off('error', Connection.#onGone)
    this.#socket.off('close', Connection.#onGone)
    // One buffer, one write: HAProxy and nginx reset a connection whose header comes in two segments.
    const header = this.#encodeHeader()
    const first = header === undefined ? this.#held : [header, ...this.#held]
    this.#held = []
    this.#relay = new Relay(
      this.#socket,
      target,
      first.length > 1 ? Buffer.concat(first) : first[0],
      this.#heldBytes,
      this,
    )
  }

  #encodeHeader(): Buffer | undefined {
    const { bytes, droppedTlvs } = this.#client.encode(this.#forward.config.sendProxy)
    if (droppedTlvs > 0) {
      const { forward, client, id } = this.status()
      this.#forward.counters.droppedTlvs += droppedTlvs
      this.#forward.log.warn(
        { forward, client, id, droppedTlvs },
        'TLVs left out of a PROXY header: too long',
      )
    }
    return bytes
  }

  #refuse(reason: RefusalReason, detail: string): void {
    if (this.#phase === 'closed') return
    const { forward, client, target, id } = this.status()
    this.#forward.counters.refused[reason]++
    this.#forward.log.warn({ forward, client, target, reason, detail, id }, 'connection refused')
    this.#close()
  }

  done(end: RelayEnd, detail: string | undefined): void {
    if (this.#phase === 'closed') return
    const { since, ...connection } = this.status()
    const fields = { ...connection, durationMs: Date.now() - since, end, detail }
    if (this.#client.isCheck) this.#forward.log.debug(fields, 'check ended')
    else if (this.#forward.logConnections()) this.#forward.log.info(fields, 'connection ended')
    this.#close()
  }

  #close(): void {
    this.#phase = 'closed'
    this.#dial?.cancel()
    this.#held = []
    this.#forward.deadlines.clear(this)
    reset(this.#socket)
    this.#forward.counters.receivedBytes += this.#relay?.receivedBytes ?? 0
    this.#forward.counters.sentBytes += this.#relay?.sentBytes ?? 0
    this.#forward.ended(this)
  }
}
