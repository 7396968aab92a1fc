import { pieceSize, pieces } from './pieces.ts'

/**
 * What arrives and cannot go on yet, copied together: it costs about its length, however small the parts are. Whoever has one
 * clears it when it is done: its memory is not garbage.
 */
export class Held {
  #pieces: number[] | undefined
  /** Bytes of the first piece that have been taken. */
  #taken = 0
  #length = 0

  /** Bytes. */
  get length(): number {
    return this.#length
  }

  /** Bytes of memory. */
  get cost(): number {
    return (this.#pieces?.length ?? 0) * pieceSize
  }

  /** @param part may be overwritten afterwards. */
  keep(part: Buffer): void {
    for (let at = 0; at < part.length; ) {
      const place = (this.#taken + this.#length) % pieceSize
      if (this.#pieces === undefined) this.#pieces = [pieces.take()]
      else if (place === 0) this.#pieces.push(pieces.take())
      const copied = pieces.write(this.#pieces.at(-1)!, place, part, at)
      this.#length += copied
      at += copied
    }
  }

  /** A copy of all of it; `undefined` when there is nothing. */
  look(): Buffer | undefined {
    return this.#length === 0 ? undefined : this.#copy(undefined, this.#length)
  }

  /** `most` bytes of it at most, in one piece behind `first`; `undefined` when there is nothing. */
  take(first?: Buffer, most = Number.POSITIVE_INFINITY): Buffer | undefined {
    if (this.#length === 0) return first
    const length = Math.min(this.#length, most)
    const bytes = this.#copy(first, length)
    this.#length -= length
    this.#taken += length
    if (this.#length === 0) this.clear()
    else {
      const done = Math.floor(this.#taken / pieceSize)
      for (const piece of this.#pieces!.splice(0, done)) pieces.giveBack(piece)
      this.#taken %= pieceSize
    }
    return bytes
  }

  clear(): void {
    for (const piece of this.#pieces ?? []) pieces.giveBack(piece)
    this.#pieces = undefined
    this.#taken = this.#length = 0
  }

  #copy(first: Buffer | undefined, length: number): Buffer {
    const begin = first?.length ?? 0
    const bytes = Buffer.allocUnsafe(begin + length)
    first?.copy(bytes)
    let at = 0
    for (const piece of this.#pieces!) {
      if (at === length) break
      const place = at === 0 ? this.#taken : 0
      const copied = Math.min(pieceSize - place, length - at)
      pieces.read(piece, place, copied, bytes, begin + at)
      at += copied
    }
    return bytes
  }
}
