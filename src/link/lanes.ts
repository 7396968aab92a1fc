import type { Socket } from 'node:net'
import { reset } from '../sockets/reset.ts'
import { LinkError } from './frame.ts'
import { readFirst } from './greeting.ts'

/** Bytes of the number of a stream. */
const idLength = 4

/** The lanes of one link that wait for a stream. They are counted, and end with their link. */
export class Lanes {
  /** They do not know yet for which stream. */
  readonly #idle = new Set<Socket>()
  /** They know, and it has not been opened: a lane is idle and the link may be busy, so that it is overtaken. */
  readonly #early = new Map<number, Socket>()
  #isClosed = false

  /** That wait. */
  get size(): number {
    return this.#idle.size + this.#early.size
  }

  /** The number of the stream that a lane is for, once it comes. Rejects with `LinkError` when the lane or its link ends before. */
  async idOf(lane: Socket): Promise<number> {
    this.#idle.add(lane)
    try {
      const id = (await readFirst(lane, idLength, 0)).readUInt32BE()
      if (this.#isClosed) throw new LinkError('a lane of a link that has ended')
      return id
    } finally {
      this.#idle.delete(lane)
    }
  }

  /** Keeps one for a stream that is still to be opened. Throws `LinkError` when there is one for it. */
  keep(id: number, lane: Socket): void {
    if (this.#early.has(id)) throw new LinkError(`a second lane for stream ${id}`)
    this.#early.set(id, lane)
  }

  /** The one that was kept for a stream, which is the caller's from now on. */
  take(id: number): Socket | undefined {
    const lane = this.#early.get(id)
    this.#early.delete(id)
    return lane
  }

  /** The link has ended. */
  close(): void {
    this.#isClosed = true
    for (const lane of [...this.#idle, ...this.#early.values()]) reset(lane)
    this.#early.clear()
  }
}
