import { none } from './form.ts'

/** Datagrams of one owner that are kept. */
const greatestOfOwner = 8
/** Bytes in all, with what keeping a datagram takes besides its own. */
const greatestSize = 256 * 1024
const overhead = 128
/** Milliseconds from the first that is kept for an owner until all of its are given up. */
const keptFor = 1000

interface Owned {
  readonly since: number
  readonly datagrams: Buffer[]
}

/** Datagrams that wait until the other end says that it knows, or tells, whose they are. Bounded, and given up after a second. */
export class Kept<Owner> {
  // In the order of `since`: an owner comes in when its first is kept.
  readonly #owners = new Map<Owner, Owned>()
  #size = 0
  #givenUp = 0

  /** Keeps a copy; `false` where there is no room for it. */
  keep(owner: Owner, datagram: Buffer, now: number): boolean {
    this.#expire(now)
    const size = datagram.length + overhead
    const datagrams = this.#owners.get(owner)?.datagrams ?? []
    if (datagrams.length >= greatestOfOwner || this.#size + size > greatestSize) return false
    if (datagrams.length === 0) this.#owners.set(owner, { since: now, datagrams })
    datagrams.push(Buffer.from(datagram))
    this.#size += size
    return true
  }

  /** The owner's datagrams in their order; they are kept no longer. */
  take(owner: Owner, now: number): readonly Buffer[] {
    this.#expire(now)
    return this.#remove(owner)
  }

  /** Gives up the owner's datagrams. */
  drop(owner: Owner): void {
    this.#givenUp += this.#remove(owner).length
  }

  /** How many datagrams were given up since the last call. To be called now and then: what is too old lives as long. */
  givenUp(now: number): number {
    this.#expire(now)
    const count = this.#givenUp
    this.#givenUp = 0
    return count
  }

  #expire(now: number): void {
    for (const [owner, { since }] of this.#owners) {
      if (now - since < keptFor) break
      this.drop(owner)
    }
  }

  #remove(owner: Owner): readonly Buffer[] {
    const owned = this.#owners.get(owner)
    if (owned === undefined) return none
    this.#owners.delete(owner)
    for (const { length } of owned.datagrams) this.#size -= length + overhead
    return owned.datagrams
  }
}
