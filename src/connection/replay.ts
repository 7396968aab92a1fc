import type { Held } from '../link/held.ts'
import { type Joined, rejoin } from '../link/joint.ts'
import type { Stream } from '../link/stream.ts'
import type { ReadSocket } from '../sockets/reader.ts'

/** Bytes that are kept; a client that has sent more is not sent elsewhere. */
const mostKept = 65_536

/**
 * Stands between a client's socket and its stream while the far end may still refuse the stream, and keeps what the
 * client has sent: it is sent again to another target.
 */
export class Replay implements Joined {
  readonly #socket: ReadSocket
  readonly #stream: Stream
  readonly kept: Held
  #bytes: number

  /** The socket is the stream's already, and `sent` were its first bytes. */
  constructor(socket: ReadSocket, stream: Stream, sent: Held) {
    this.#socket = socket
    this.#stream = stream
    this.kept = sent
    this.#bytes = sent.length
    rejoin(socket, this)
  }

  /** Of what was kept; more than may be kept when it is not all. */
  get bytes(): number {
    return this.#bytes
  }

  get isWhole(): boolean {
    return this.#bytes <= mostKept
  }

  /** Nothing more is kept: the stream has its socket for itself. */
  end(): void {
    this.kept.clear()
    rejoin(this.#socket, this.#stream)
  }

  read(chunk: Buffer, isShared: boolean, socket: ReadSocket): boolean {
    this.#bytes += chunk.length
    if (this.isWhole) this.kept.keep(chunk)
    else this.end()
    return this.#stream.read(chunk, isShared, socket)
  }

  ended(socket: ReadSocket): void {
    this.#stream.ended(socket)
  }

  drained(socket: ReadSocket): void {
    this.#stream.drained(socket)
  }

  failed(socket: ReadSocket, detail: string): void {
    this.#stream.failed(socket, detail)
  }

  closed(socket: ReadSocket): void {
    this.#stream.closed(socket)
    this.kept.clear()
  }
}
