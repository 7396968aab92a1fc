import type { Socket } from 'node:net'
import { systemCode } from '../errors.ts'
import type { ReadSocket } from '../sockets/reader.ts'
import { reset } from '../sockets/reset.ts'
import { frame, LinkError, maxData, uint32 } from './frame.ts'
import type { Greeting } from './greeting.ts'
import { type Hearer, Inbox } from './inbox.ts'
import { mostUnread, Outbox } from './outbox.ts'
import { type PingWitness, Pulse } from './pulse.ts'
import { encodeReset } from './reset-reason.ts'
import { Senders } from './senders.ts'
import { Stream } from './stream.ts'
import type { LinkedStream, StreamLink } from './stream-owner.ts'
import { type Holdings, unread } from './unread.ts'

export interface SessionOptions {
  /** Stands for the peer: all of its links together may hold so much. */
  readonly peer: object
  /** What the far end said it grants. */
  readonly far: Greeting
  readonly own: Greeting
  readonly witness?: PingWitness | undefined
  /** Only at the end that dialled, which alone opens streams: a lane for a stream that is promoted, if there is one. */
  readonly lane?: (session: Session) => Socket | undefined
  /** Only at the other end: a stream was opened. */
  readonly opened?: (stream: Stream, port: number, header: Buffer, session: Session) => void
  /** The far end's target behind a port goes up or down. */
  readonly target?: (port: number, isUp: boolean) => void
  /** The far end drains. */
  readonly draining?: () => void
  readonly closed: (session: Session, why: string) => void
}

/** One link that is up: a tunnel connection with the frames of many streams. */
export class Session implements Hearer, StreamLink {
  readonly far: Greeting
  readonly own: Greeting
  /** Both ends of the tunnel connection. */
  readonly localAddress: string
  readonly remoteAddress: string
  readonly since = performance.now()
  /** What the streams of this peer hold, on all its links. */
  readonly holdings: Holdings
  readonly #socket: ReadSocket
  readonly #options: SessionOptions
  readonly #outbox: Outbox
  readonly #inbox = new Inbox(this)
  readonly #streams = new Map<number, Stream>()
  readonly #pulse: Pulse
  readonly #senders: Senders
  #lastId = 0
  #isDraining = false
  #isRetired = false
  #isClosed = false
  promoted = 0

  /** The socket has exchanged greetings. */
  constructor(socket: Socket, options: SessionOptions) {
    this.#socket = socket as ReadSocket
    this.#socket.sink = this.#inbox
    this.#options = options
    this.far = options.far
    this.own = options.own
    this.localAddress = socket.localAddress ?? ''
    this.remoteAddress = socket.remoteAddress ?? ''
    this.holdings = unread.join(options.peer)
    this.#outbox = new Outbox(socket)
    this.#senders = new Senders(this.#outbox, this.#streams)
    socket.on('data', chunk => this.#inbox.read(chunk, false, this.#socket))
    socket.on('drain', () => this.#senders.drained())
    socket.on('error', error => this.close(systemCode(error) ?? error.message))
    socket.on('end', () => this.close('the other end closed it'))
    socket.on('close', () => this.close('it was closed'))
    this.#pulse = new Pulse(this, options.witness, options.opened === undefined)
    socket.resume()
  }

  /** Whether new streams may be opened; where not, a connection of its own is the better way now. */
  get isReady(): boolean {
    if (this.#isClosed || this.#isDraining || this.#isRetired) return false
    return !this.#pulse.isDoubtful && this.#streams.size < this.far.streams
  }

  get streams(): number {
    return this.#streams.size
  }

  /** Milliseconds; `undefined` before the first answer, and while one is missing. */
  get roundTrip(): number | undefined {
    return this.#pulse.isDoubtful ? undefined : this.#pulse.pace.roundTrip
  }

  /** Opens a stream, at the end that dialled. `header` is a whole PROXY v2 header. That of a check sends no ping. */
  open(port: number, header: Buffer, isCheck = false): Stream {
    do this.#lastId = (this.#lastId + 1) >>> 0
    while (this.#lastId === 0 || this.#streams.has(this.#lastId))
    const payload = Buffer.allocUnsafe(2 + header.length)
    payload.writeUInt16BE(port)
    header.copy(payload, 2)
    this.send(this.#lastId, frame.open, payload)
    if (!isCheck) this.#pulse.ask()
    return this.#newStream(this.#lastId)
  }

  /** This end drains: the far one opens no more streams, those that are open go on. */
  goaway(): void {
    this.send(0, frame.goaway)
  }

  /** Opens no more streams, and ends with its last one. */
  retire(): void {
    if (this.#isRetired) return
    this.#isRetired = true
    if (this.#streams.size === 0) void this.finish('no longer wanted')
  }

  tellTarget(port: number, isUp: boolean): void {
    this.send(0, frame.target, Buffer.from([port >>> 8, port & 255, isUp ? 1 : 0]))
  }

  stream(id: number): Stream | undefined {
    return this.#streams.get(id)
  }

  /** Whether the stream of this number is still to be opened; they are numbered in order, and begin anew at 2^32. */
  isAhead(id: number): boolean {
    return id !== this.#lastId && (id - this.#lastId) >>> 0 < 2 ** 31
  }

  /** Ends the link, whose streams are done: once its last frames have arrived, the far end is silent, or `signal` is aborted. */
  async finish(why: string, signal?: AbortSignal): Promise<void> {
    if (this.#isClosed) return
    this.#pulse.ending()
    await this.#outbox.end(signal)
    this.close(why)
  }

  /** Cuts the link. Streams that have left it go on, the others are cut. */
  close(why: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#pulse.stop()
    reset(this.#socket)
    for (const stream of this.#streams.values()) stream.linkLost(why)
    this.#streams.clear()
    unread.leave(this.#options.peer)
    this.#options.closed(this, why)
  }

  send(stream: number, type: number, payload?: Buffer): void {
    if (this.#isClosed) return
    this.#outbox.add(stream, type, payload)
    // Not at once: who sends may be opening a stream, and a closed link would never end it.
    if (this.#outbox.waiting > mostUnread)
      process.nextTick(() => this.close(`${mostUnread} bytes were left unread`))
  }

  /** Returns whether the link takes more of this stream at once; `unblock` tells when it does again. */
  sendData(stream: LinkedStream, bytes: Buffer): boolean {
    for (let at = 0; at < bytes.length; at += maxData)
      this.send(stream.id, frame.data, bytes.length > maxData ? bytes.subarray(at, at + maxData) : bytes)
    return this.#senders.mayGoOn(stream, bytes.length)
  }

  /** Whether the link does not take what it has: what is sent waits for long, and is not to keep a read buffer. */
  get isFull(): boolean {
    return this.#outbox.isFull
  }

  /** Bytes of a stream that may be on the way to this end. */
  windowOf(stream: LinkedStream): number {
    return stream.isPromoted ? this.#pulse.pace.window / Math.max(this.promoted, 1) : this.own.window
  }

  /** Bytes came in on a lane. */
  delivered(bytes: number): void {
    this.#pulse.pace.delivered(bytes)
  }

  promote(stream: LinkedStream): void {
    const lane = this.#options.lane?.(this)
    if (lane !== undefined) {
      lane.write(uint32(stream.id))
      this.lend(stream, lane)
    } else if (this.#options.lane === undefined) this.send(stream.id, frame.want)
  }

  /** The far end would like to have a stream promoted. */
  wanted(stream: LinkedStream): void {
    if (!stream.isPromoted && this.#options.lane !== undefined) this.promote(stream)
  }

  /** Moves a stream to a lane. */
  lend(stream: LinkedStream, lane: Socket): void {
    this.promoted++
    this.#pulse.hasBulk = true
    stream.promote(lane)
  }

  remove(stream: LinkedStream): void {
    this.#streams.delete(stream.id)
    if (stream.isPromoted && --this.promoted === 0) this.#pulse.hasBulk = false
    if (this.#isRetired && this.#streams.size === 0) void this.finish('no longer wanted')
  }

  heardPart(): void {
    this.#pulse.parts++
  }

  heardPing(): void {
    this.#pulse.asked()
  }

  heardPong(): void {
    this.#pulse.answered()
  }

  heardGoaway(): void {
    if (this.#isDraining) return
    this.#isDraining = true
    this.#options.draining?.()
  }

  heardTarget(port: number, isUp: boolean): void {
    if (!isUp || !this.#isDraining) this.#options.target?.(port, isUp) // No target is up behind an end that goes.
  }

  heardOpen(id: number, payload: Buffer): void {
    if (this.#options.opened === undefined) throw new LinkError('a stream opened by the end that was dialled')
    if (id === 0 || payload.length < 3 || this.#streams.has(id))
      throw new LinkError(`stream ${id} opened wrongly`)
    if (this.#streams.size >= this.own.streams) {
      const detail = `${this.own.streams} streams`
      this.send(id, frame.reset, encodeReset({ reason: 'stream-limit', detail }))
      return
    }
    this.#lastId = id
    // Copied: the payload refers to the read buffer.
    const header = Buffer.from(payload.subarray(2))
    this.#options.opened(this.#newStream(id), payload.readUInt16BE(), header, this)
  }

  #newStream(id: number): Stream {
    const stream = new Stream(this, id, this.far.window, this.own.window)
    this.#streams.set(id, stream)
    this.#senders.opened(stream)
    return stream
  }
}
