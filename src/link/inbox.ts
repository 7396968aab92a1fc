import type { ReadSocket, Sink } from '../sockets/reader.ts'
import { exactly, FrameReader, type FrameSink, frame, LinkError } from './frame.ts'

/** A stream, as far as it hears from the far end. What it is given refers to the read buffer. */
export interface HeardStream {
  /** Some of its bytes. @throws LinkError where the far end was not to send them */
  data(part: Buffer): void
  /** A frame of another type, `open` not among them. @throws LinkError where it is malformed or not to be sent */
  control(type: number, payload: Buffer): void
}

/** What a link hears from the far end. */
export interface Hearer {
  stream(id: number): HeardStream | undefined
  /** Bytes of a stream, or of one that has ended here. */
  heardPart(): void
  /** A stream was opened. `payload` refers to the read buffer. */
  heardOpen(id: number, payload: Buffer): void
  heardPing(): void
  heardPong(): void
  heardGoaway(): void
  heardTarget(port: number, isUp: boolean): void
  close(why: string): void
}

/**
 * What is done in one go, in frames that cost next to nothing (about a microsecond), and what others cost. It is about five
 * milliseconds: a read has room for 30,000 frames, and Node takes many reads in a row.
 */
const turn = 5000
const cost = { part: 10, open: 250, reset: 100 }

/** Types of frames about one stream, `data` and `open` not among them. */
const streamTypes = new Set<number>([frame.end, frame.reset, frame.credit, frame.want, frame.switch])

/** Reads a link's socket: bytes to frames, frames to their streams. What is no frame ends the link, and nothing else. */
export class Inbox implements FrameSink, Sink {
  readonly isBusy = true
  readonly #hearer: Hearer
  readonly #reader = new FrameReader(this)

  constructor(hearer: Hearer) {
    this.#hearer = hearer
    this.#reader.work = turn
  }

  read(chunk: Buffer, isShared: boolean, socket: ReadSocket): boolean {
    return this.#read(isShared ? Buffer.from(chunk) : chunk, socket)
  }

  /** What is more than the work of one go waits, and the socket with it, until all others have had their turn. */
  #read(bytes: Buffer, socket: ReadSocket): boolean {
    try {
      const read = this.#reader.read(bytes)
      if (this.#reader.work > 0) return true
      // It stays what it is: nothing is read into its buffer before it is done.
      const rest = bytes.subarray(read)
      socket.pause()
      setImmediate(() => this.#goOn(rest, socket))
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      this.#hearer.close(error.message)
    }
    return false
  }

  #goOn(rest: Buffer, socket: ReadSocket): void {
    if (socket.destroyed) return
    this.#reader.work = turn
    if (this.#read(rest, socket)) socket.resume()
  }

  part(id: number, part: Buffer): void {
    this.#reader.work -= cost.part
    this.#hearer.heardPart()
    this.#hearer.stream(id)?.data(part)
  }

  control(id: number, type: number, payload: Buffer): void {
    const hearer = this.#hearer
    if (type === frame.open) this.#reader.work -= cost.open
    else if (type === frame.reset) this.#reader.work -= cost.reset
    if (type === frame.open) hearer.heardOpen(id, payload)
    // One that has ended here may not have there yet: what is still said of it is no fault.
    else if (streamTypes.has(type)) hearer.stream(id)?.control(type, payload)
    else if (type === frame.ping) hearer.heardPing()
    else if (type === frame.pong) hearer.heardPong()
    else if (type === frame.goaway) hearer.heardGoaway()
    else if (type === frame.target) hearer.heardTarget(exactly(3, payload).readUInt16BE(), payload[2] === 1)
    else throw new LinkError(`a frame of the unknown type ${type}`)
  }
}
