import type { Reset } from './reset-reason.ts'

/** Bytes of memory for one peer, at most, and for all: a part of what the process may have. */
const mostOfPeer = 64 << 20
const mostOfAll = { least: 16 << 20, most: 256 << 20, part: 1 / 8 }

/** A stream whose local socket does not take what has arrived, or is not there yet. */
export interface Holder {
  /** Bytes of memory that it holds now. */
  readonly unread: number
  /** As many as have been counted for it. */
  counted: number
  abort(why: Reset): void
}

/**
 * Bounds what readers that stopped cost in memory. Credit bounds each stream; where many of them have stopped, those that
 * hold most are reset until the rest fits: of the peer that holds too much, or of the one that holds most.
 */
export class Unread {
  readonly limit: number
  readonly peerLimit: number
  /** What all hold together. */
  bytes = 0
  readonly #peers = new Map<object, Holdings>()

  /** @param limit in bytes; a single peer gets no more than half of it. */
  constructor(limit: number) {
    this.limit = limit
    this.peerLimit = Math.min(mostOfPeer, limit / 2)
  }

  /** One more link with this peer, whatever stands for it. */
  join(peer: object): Holdings {
    let holdings = this.#peers.get(peer)
    if (holdings === undefined) {
      holdings = new Holdings(this)
      this.#peers.set(peer, holdings)
    }
    holdings.links++
    return holdings
  }

  /** One link less. */
  leave(peer: object): void {
    const holdings = this.#peers.get(peer)
    if (holdings !== undefined && --holdings.links === 0) this.#peers.delete(peer)
  }

  /** Makes room for all, at the cost of the peer that holds most. */
  fit(): void {
    const excess = this.bytes - this.limit
    if (excess <= 0) return
    // A stream that has outlived its links is in no peer's, and ends with its lane.
    const [most] = [...this.#peers.values()].sort((a, b) => b.bytes - a.bytes)
    most?.shrink(excess + this.limit / 8, `${this.limit} of all streams allowed`)
  }
}

/** What the streams of one peer hold. */
export class Holdings {
  bytes = 0
  links = 0
  readonly #unread: Unread
  readonly #holders = new Set<Holder>()

  constructor(unread: Unread) {
    this.#unread = unread
  }

  /** What a stream holds has changed; it may be reset. */
  count(holder: Holder): void {
    const before = this.bytes
    this.#count(holder)
    if (this.bytes <= before) return
    const { peerLimit } = this.#unread
    // Somewhat more than needed: it is not to be done again for the next few bytes.
    if (this.bytes > peerLimit)
      this.shrink(this.bytes - peerLimit + peerLimit / 8, `${peerLimit} of all streams of a peer allowed`)
    this.#unread.fit()
  }

  /** Resets those that hold most until so many bytes are free. */
  shrink(bytes: number, allowed: string): void {
    const goal = this.bytes - bytes
    // What a socket has taken since is not told for each.
    for (const holder of this.#holders) this.#count(holder)
    const largest = [...this.#holders].sort((a, b) => b.counted - a.counted)
    for (const holder of largest) {
      if (this.bytes <= goal) return
      holder.abort({ reason: 'reset', detail: `${holder.counted} bytes unread, ${allowed}` })
    }
  }

  #count(holder: Holder): void {
    const { unread } = holder
    this.bytes += unread - holder.counted
    this.#unread.bytes += unread - holder.counted
    holder.counted = unread
    if (unread > 0) this.#holders.add(holder)
    else this.#holders.delete(holder)
  }
}

/** Bytes that all links may hold: less where the process has less. */
export function unreadLimit(memory = process.constrainedMemory()): number {
  const { least, most, part } = mostOfAll
  return memory > 0 ? Math.min(Math.max(memory * part, least), most) : most
}

/** Of this process. */
export const unread = new Unread(unreadLimit())
