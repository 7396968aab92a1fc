import type { Socket } from 'node:net'
import { Held } from '../link/held.ts'
import { leave } from '../link/joint.ts'
import type { Session } from '../link/session.ts'
import { beginning } from '../link/stream-owner.ts'
import { type ProxyHeader, ProxyHeaderError, parseProxyHeader } from '../proxy/proxy-header.ts'
import type { ReadSocket, Sink } from '../sockets/reader.ts'
import { reset } from '../sockets/reset.ts'
import type { Share } from '../sockets/shares.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import { type Carrier, StreamCarrier } from './carrier.ts'
import { Client } from './client.ts'
import { ClientHelloReader } from './client-hello.ts'
import type { Downstream, DownstreamOwner } from './downstream.ts'
import { Relay } from './relay.ts'
import { Replay } from './replay.ts'

/** Bytes of a client that are kept until its target is connected; then the client waits. */
const heldLimit = 65_536

/** An accepted socket with its place: state on the socket spares closures. */
interface ClientSocket extends ReadSocket {
  downstream: SocketDownstream
}

/** A client that connected to a listener: its PROXY header is received first, where one is required. */
export class SocketDownstream implements Downstream, Sink {
  readonly client: Client
  readonly peer: Share | undefined
  readonly mayCross = true
  readonly mayBeLost = false
  readonly #socket: ClientSocket
  #connection: DownstreamOwner | undefined
  /** Which header it has to send, until it has. */
  #expected: false | 'any' | 'v1' | 'v2' = false
  /** While its ClientHello is awaited. */
  #hello: ClientHelloReader | undefined
  #held = new Held()
  #isListening = false
  /** Somebody else has the socket. */
  #isReleased = false
  /** While it has crossed a link, and may come back. */
  #replay: Replay | undefined

  constructor(socket: Socket, peer: Share | undefined) {
    this.peer = peer
    this.#socket = socket as ClientSocket
    this.#socket.downstream = this
    this.#socket.sink = this
    this.client = Client.of(socket)
  }

  start(connection: DownstreamOwner): void {
    this.#connection = connection
    const { acceptProxy, listen } = connection.forward.config
    const { address } = this.client.source
    const shut = listen.host === 'tunnel' ? connection.forward.ways.heard(address) : undefined
    if (shut !== undefined) {
      connection.refuse('no-tunnel-route', shut)
      return
    }
    if (acceptProxy !== false && !connection.forward.trusts(address)) {
      connection.refuse('untrusted-source', `${address} is not in trustedProxies`)
      return
    }
    this.#expected = acceptProxy
    if (acceptProxy === false) {
      // Where there is a link it is on its way after this, and there was nothing to listen for.
      connection.known()
      if (this.#isReleased || this.#socket.destroyed) return
    } else connection.awaitHeader()
    this.#listen()
  }

  awaitHello(): void {
    this.#hello = new ClientHelloReader()
    const sent = this.#held.look()
    if (sent !== undefined) this.#readHello(sent)
  }

  relay(connection: DownstreamOwner, target: Socket, header: Buffer | undefined): Carrier {
    const bytes = this.#held.length
    // One buffer, one write: HAProxy and nginx reset a connection whose header comes in two segments.
    const first = this.#held.take(header)
    this.#release()
    return new Relay(this.#socket, target, first, bytes, connection)
  }

  cross(
    connection: DownstreamOwner,
    session: Session,
    port: number,
    header: Buffer,
    mayReturn: boolean,
  ): Carrier {
    const held = this.#held
    const sent = held.look()
    this.#held = new Held()
    this.#release()
    const stream = session.open(port, header)
    stream.owner = connection
    stream.attach(this.#socket, undefined, sent)
    if (mayReturn) this.#replay = new Replay(this.#socket, stream, held)
    else held.clear()
    return new StreamCarrier(stream, true)
  }

  settled(): void {
    this.#replay?.end()
    this.#replay = undefined
    this.client.told()
  }

  takeBack(isUntouched: boolean): boolean {
    const replay = this.#replay
    if (replay === undefined || !replay.isWhole || (isUntouched && replay.bytes > 0)) return false
    this.#replay = undefined
    this.#held = replay.kept
    this.#isReleased = false
    leave(this.#socket)
    this.#socket.sink = this
    this.#listen()
    if (this.#held.length >= heldLimit) this.#socket.pause()
    return true
  }

  refuse(_: RefusalReason | undefined): void {
    this.#held.clear()
    reset(this.#socket)
  }

  #listen(): void {
    const socket = this.#socket
    this.#isListening = true
    socket.on('error', SocketDownstream.#onGone)
    socket.on('close', SocketDownstream.#onGone)
    socket.on('data', SocketDownstream.#onData)
    socket.on('end', SocketDownstream.#onEnd)
    socket.resume()
  }

  #release(): void {
    this.#held.clear()
    this.#isReleased = true
    if (!this.#isListening) return
    this.#socket.off('data', SocketDownstream.#onData)
    this.#socket.off('end', SocketDownstream.#onEnd)
    this.#socket.off('error', SocketDownstream.#onGone)
    this.#socket.off('close', SocketDownstream.#onGone)
  }

  #receiveHeader(): void {
    const bytes = this.#held.look()!
    let header: ProxyHeader | undefined
    try {
      header = parseProxyHeader(bytes, this.#expected || 'any')
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) throw error
      this.#connection?.refuse('header-invalid', error.message)
      return
    }
    if (header === undefined) return
    this.#expected = false
    this.#held.clear()
    if (bytes.length > header.length) this.#held.keep(bytes.subarray(header.length))
    this.client.learn(header)
    if (this.client.isTrace) this.#connection?.traced(this.#socket)
    else if (this.client.mayBeCheck && this.#held.length === 0) this.#connection?.awaitByte()
    else this.#connection?.known()
  }

  read(chunk: Buffer): boolean {
    this.#take(chunk)
    return !this.#socket.isPaused()
  }

  #take(chunk: Buffer): void {
    this.#held.keep(chunk)
    if (this.#expected !== false) this.#receiveHeader()
    else if (this.client.mayBeCheck) this.#connection?.known()
    else if (this.#held.length - chunk.length < beginning && this.#connection?.begins(chunk) === false) return
    else if (this.#hello !== undefined) this.#readHello(chunk)
    else if (this.#held.length >= heldLimit) this.#socket.pause()
  }

  #readHello(chunk: Buffer): void {
    const hello = this.#hello?.read(chunk)
    if (hello === undefined) return
    this.#hello = undefined
    this.#connection?.greeted(hello)
  }

  static #onData(this: ClientSocket, chunk: Buffer): void {
    this.downstream.#take(chunk)
  }

  static #onEnd(this: ClientSocket): void {
    const { downstream } = this
    if (downstream.#expected !== false) SocketDownstream.#onGone.call(this)
    else if (downstream.client.mayBeCheck) {
      downstream.client.isCheck = true
      downstream.#connection?.known()
    } else downstream.#connection?.halfClosed()
  }

  static #onGone(this: ClientSocket): void {
    const { downstream } = this
    if (downstream.client.mayBeCheck) downstream.client.isCheck = true
    if (downstream.#expected === false)
      downstream.#connection?.gone('client-reset', 'before its target was connected')
    else
      downstream.#connection?.refuse(
        'header-missing',
        `closed after ${downstream.#held.length} bytes without a whole PROXY header`,
      )
    downstream.#held.clear()
  }
}
