/**
 * The frames of a link: an eight-byte header (stream, u32; type, u8; length of the payload, u24; network byte order) and the
 * payload. docs/link.md is the specification. Pure: bytes in, frames out.
 */

export const frame = {
  /** Bytes of the stream. */
  data: 0,
  /** Begins a stream: the port it is for (u16) and its PROXY v2 header. */
  open: 1,
  /** No more bytes from here. */
  end: 2,
  /** Ends both directions: a reason (u8) and, for people, details (UTF-8). */
  reset: 3,
  /** As many more bytes (u32) may be sent. */
  credit: 4,
  /** From who cannot begin a promotion to who can: this stream has become a long one. */
  want: 5,
  /** The bytes that follow in this direction travel on the stream's lane. */
  switch: 6,
  /** To be answered at once. */
  ping: 7,
  pong: 8,
  /** No new streams, please: this end drains. */
  goaway: 9,
  /** How the target behind a port (u16) does: u8, 1 up, 0 down. */
  target: 10,
} as const

export const frameHeader = 8
/** Bytes of data in one frame. */
export const maxData = 65_536
/** Bytes of any other payload: a PROXY header has at most 4,112. */
const maxControl = 8192

/** Why the other end of a link, or of a stream, cannot be dealt with. The link ends, and nothing else. */
export class LinkError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'LinkError'
  }
}

export interface FrameSink {
  /** A part of a data frame, as much as has arrived. It refers to the chunk that was read. */
  part(stream: number, part: Buffer): void
  /** Any other frame, whole. The payload refers to the chunk that was read, or to nothing else. */
  control(stream: number, type: number, payload: Buffer): void
}

/** Cuts what arrives into frames, however the network has split it. */
export class FrameReader {
  /** What may still be done before `read` returns early. Each frame takes 1; who has more to do for one takes more. */
  work = Number.POSITIVE_INFINITY
  readonly #sink: FrameSink
  readonly #header = Buffer.alloc(frameHeader)
  #headerBytes = 0
  #stream = 0
  #type = 0
  /** Bytes of the payload that are still to come. */
  #left = 0
  /** What has come of a payload in several chunks. */
  #payload: Buffer | undefined

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Returns how many bytes were read: all, unless `work` is used up. Throws `LinkError` for bytes that are no frames. */
  read(chunk: Buffer): number {
    const { length } = chunk
    let at = 0
    while (at < length && this.work > 0) {
      if (this.#left > 0) {
        const part = chunk.subarray(at, at + this.#left)
        at += part.length
        this.#left -= part.length
        if (this.#type === frame.data) this.#sink.part(this.#stream, part)
        else this.#collect(part)
      } else if (this.#headerBytes === 0 && length - at >= frameHeader) {
        this.#begin(chunk, at)
        at += frameHeader
      } else {
        const copied = chunk.copy(this.#header, this.#headerBytes, at)
        at += copied
        this.#headerBytes += copied
        if (this.#headerBytes < frameHeader) break
        this.#headerBytes = 0
        this.#begin(this.#header, 0)
      }
    }
    return at
  }

  #begin(from: Buffer, at: number): void {
    this.work--
    this.#stream = from.readUInt32BE(at)
    this.#type = from[at + 4]!
    this.#left = from.readUIntBE(at + 5, 3)
    if (this.#left > (this.#type === frame.data ? maxData : maxControl))
      throw new LinkError(`a frame of type ${this.#type} with ${this.#left} bytes`)
    if (this.#left === 0 && this.#type !== frame.data)
      this.#sink.control(this.#stream, this.#type, Buffer.alloc(0))
  }

  #collect(part: Buffer): void {
    if (this.#left === 0 && this.#payload === undefined) {
      this.#sink.control(this.#stream, this.#type, part)
      return
    }
    // A copy: the chunk may be a buffer that the next read fills again.
    this.#payload ??= Buffer.allocUnsafe(part.length + this.#left)
    part.copy(this.#payload, this.#payload.length - this.#left - part.length)
    if (this.#left > 0) return
    const payload = this.#payload
    this.#payload = undefined
    this.#sink.control(this.#stream, this.#type, payload)
  }
}

/** @throws LinkError */
export function exactly(length: number, payload: Buffer): Buffer {
  if (payload.length !== length) throw new LinkError(`a payload of ${payload.length} bytes, not ${length}`)
  return payload
}

/** In network byte order. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}
