import type { Stream } from './stream.ts'

/** Bytes that a link holds for local sockets which do not take them, at most; checked every few that arrive. */
const mostHeld = 64 << 20
const checkEvery = 4 << 20

type Streams = ReadonlyMap<number, Pick<Stream, 'unread' | 'abort'>>

/**
 * Bounds what readers that stopped cost in memory. Credit bounds each stream; with many of them stopped at the same time
 * the one that holds most is reset until the rest fits: it costs its own stream only.
 */
export class Unread {
  readonly #streams: Streams
  readonly #limit: number
  #arrived = 0

  constructor(streams: Streams, limit = mostHeld) {
    this.#streams = streams
    this.#limit = limit
  }

  /** Bytes of streams came in. */
  arrived(bytes: number): void {
    this.#arrived += bytes
    if (this.#arrived < Math.min(checkEvery, this.#limit)) return
    this.#arrived = 0
    const held = [...this.#streams.values()].map(stream => ({ stream, bytes: stream.unread }))
    let sum = held.reduce((sum, { bytes }) => sum + bytes, 0)
    if (sum <= this.#limit) return
    held.sort((a, b) => b.bytes - a.bytes)
    for (const { stream, bytes } of held) {
      if (sum <= this.#limit) return
      sum -= bytes
      stream.abort({
        reason: 'reset',
        detail: `${bytes} bytes unread, ${this.#limit} of all streams allowed`,
      })
    }
  }
}
