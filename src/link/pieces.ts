/** Bytes of one. */
export const pieceSize = 1024
/**
 * Bytes that are reserved at once; only what is used of them is real. The C library keeps what many small pieces of memory
 * have taken, for the next ones. What is larger than 32 MiB it always maps by itself, and gives back as soon as it is free.
 */
const arenaSize = 33 << 20
const perArena = arenaSize / pieceSize
/** Pieces of an arena that have been in use, from which on it is given back once none is. */
const worthKeeping = 1024

interface Arena {
  readonly bytes: Buffer
  /** Pieces that were in use and are free again; those from `fresh` on have never been. */
  readonly free: number[]
  fresh: number
  used: number
}

/** Memory for bytes that wait, in small pieces of one size, each with a number. */
export class Pieces {
  readonly #arenas: (Arena | undefined)[] = []

  /** Pieces that somebody has. */
  get used(): number {
    return this.#arenas.reduce((sum, arena) => sum + (arena?.used ?? 0), 0)
  }

  /** The number of a piece that is the caller's until it gives it back. */
  take(): number {
    let at = 0
    while (this.#arenas[at]?.used === perArena) at++
    const arena = this.#arenas[at] ?? newArena()
    this.#arenas[at] = arena
    arena.used++
    return at * perArena + (arena.free.pop() ?? arena.fresh++)
  }

  giveBack(piece: number): void {
    const at = Math.floor(piece / perArena)
    const arena = this.#arenas[at]!
    arena.free.push(piece % perArena)
    if (--arena.used > 0 || arena.fresh < worthKeeping) return
    this.#arenas[at] = undefined
    // Now, not when garbage is collected next: an end that has nothing to do waits long for that.
    ;(arena.bytes.buffer as ArrayBuffer).transfer(0)
  }

  /** Copies what fits of `from`, beginning at `at`, to a place in a piece; returns how many bytes. */
  write(piece: number, place: number, from: Buffer, at: number): number {
    const begin = (piece % perArena) * pieceSize
    const end = Math.min(at + pieceSize - place, from.length)
    return from.copy(this.#bytesOf(piece), begin + place, at, end)
  }

  /** Copies `length` bytes of a piece, beginning at `place`, to `to`. */
  read(piece: number, place: number, length: number, to: Buffer, at: number): void {
    const begin = (piece % perArena) * pieceSize + place
    this.#bytesOf(piece).copy(to, at, begin, begin + length)
  }

  #bytesOf(piece: number): Buffer {
    return this.#arenas[Math.floor(piece / perArena)]!.bytes
  }
}

function newArena(): Arena {
  // Not allocUnsafe: zeros come with the mapping, and cost nothing until they are used.
  return { bytes: Buffer.from(new ArrayBuffer(arenaSize)), free: [], fresh: 0, used: 0 }
}

/** Of this process. */
export const pieces = new Pieces()
