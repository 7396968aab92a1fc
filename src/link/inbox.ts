import type { ReadSocket, Sink } from '../reader.ts'
import { exactly, FrameReader, type FrameSink, frame, LinkError } from './frame.ts'
import type { Stream } from './stream.ts'

/** What a link hears from the far end. */
export interface Hearer {
  stream(id: number): Stream | undefined
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

/** Types of frames about one stream, `data` and `open` not among them. */
const streamTypes = new Set<number>([frame.end, frame.reset, frame.credit, frame.want, frame.switch])

/** Frames after which others have their turn: libuv reads up to 32 times from one socket before it looks at the next. */
const mostAtOnce = 4096
/** Bytes of a frame, with its header. */
const tinyFrame = 64

/** Reads a link's socket: bytes to frames, frames to their streams. What is no frame ends the link, and nothing else. */
export class Inbox implements FrameSink, Sink {
  /** Not while its frames are tiny ones: a read is to bring no more of them than others can wait for. */
  isBusy = true
  readonly #hearer: Hearer
  readonly #reader = new FrameReader(this)

  constructor(hearer: Hearer) {
    this.#hearer = hearer
  }

  /** @param socket what it was read from, where that is to stop now and then. */
  read(chunk: Buffer, isShared = false, socket?: ReadSocket): boolean {
    const before = this.#reader.frames
    try {
      this.#reader.read(isShared ? Buffer.from(chunk) : chunk)
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      this.#hearer.close(error.message)
      return false
    }
    this.isBusy = chunk.length >= (this.#reader.frames - before) * tinyFrame
    if (socket === undefined || this.#reader.frames < mostAtOnce) return true
    this.#reader.frames = 0
    setImmediate(resume, socket)
    return false
  }

  part(id: number, part: Buffer): void {
    this.#hearer.heardPart()
    this.#hearer.stream(id)?.data(part)
  }

  control(id: number, type: number, payload: Buffer): void {
    const hearer = this.#hearer
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

function resume(socket: ReadSocket): void {
  socket.resume()
}
