/** Bytes of a piece of memory, at least and at most: what is not filled of the last one is small beside what is. */
const leastPiece = 512
const mostPiece = 16_384
/** What a piece costs beside its bytes. */
const pieceCost = 256

/** What arrives and cannot go on yet, copied together: it costs about its length, however small the parts are. */
export class Held {
  #pieces: Buffer[] | undefined
  /** Filled bytes of the last piece. */
  #fill = 0
  #length = 0
  #cost = 0

  /** Bytes. */
  get length(): number {
    return this.#length
  }

  /** Bytes of memory. */
  get cost(): number {
    return this.#cost
  }

  /** @param part may be overwritten afterwards. */
  keep(part: Buffer): void {
    let at = 0
    while (at < part.length) {
      const last = this.#pieces?.at(-1)
      if (last === undefined || this.#fill === last.length) this.#grow(part.length - at)
      else {
        const copied = part.copy(last, this.#fill, at)
        this.#fill += copied
        at += copied
      }
    }
    this.#length += part.length
  }

  /** All of it in one piece, and still here; `undefined` when there is nothing. It stays what it is. */
  look(): Buffer | undefined {
    const pieces = this.#pieces
    if (pieces === undefined) return undefined
    return pieces.length === 1 ? pieces[0]!.subarray(0, this.#fill) : Buffer.concat(pieces, this.#length)
  }

  /** All of it in one piece, behind `first`; `undefined` when there is nothing. */
  take(first?: Buffer): Buffer | undefined {
    const pieces = this.#pieces
    if (pieces === undefined) return first
    pieces.push(pieces.pop()!.subarray(0, this.#fill))
    this.clear()
    if (first === undefined && pieces.length === 1) return pieces[0]
    return Buffer.concat(first === undefined ? pieces : [first, ...pieces])
  }

  clear(): void {
    this.#pieces = undefined
    this.#fill = this.#length = this.#cost = 0
  }

  #grow(bytes: number): void {
    const size = Math.min(Math.max(bytes, this.#length, leastPiece), mostPiece)
    const piece = Buffer.allocUnsafeSlow(size)
    if (this.#pieces === undefined) this.#pieces = [piece]
    else this.#pieces.push(piece)
    this.#fill = 0
    this.#cost += size + pieceCost
  }
}
