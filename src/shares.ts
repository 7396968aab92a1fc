/** One of those among whom something is shared out: a forward, or a peer. */
export interface Share {
  /** For people: `forward web`, `peer AbCd1234`. */
  readonly name: string
  /** What it has now. */
  used: number
  /** What it gets whenever it asks; 0 of one that is no longer among them. */
  guaranteed: number
}

export function newShare(name: string): Share {
  return { name, used: 0, guaranteed: 0 }
}

/** Who shares: half of the whole is guaranteed to them, to each as much; the other half is for whoever comes first. */
export class Shares {
  readonly #whole: number
  #all: readonly Share[] = []
  /** Guaranteed to all together and not used. */
  #kept = 0

  constructor(whole: number) {
    this.#whole = whole
  }

  /** From now on these; what the others still have counts until they give it back. */
  configure(shares: readonly Share[]): void {
    for (const share of this.#all) share.guaranteed = 0
    for (const share of shares) share.guaranteed = Math.floor(this.#whole / 2 / shares.length)
    this.#all = shares
    this.#kept = shares.reduce((sum, share) => sum + keptFor(share), 0)
  }

  /** It has so many more, or fewer. */
  use(share: Share, count: number): void {
    const before = keptFor(share)
    share.used += count
    this.#kept += keptFor(share) - before
  }

  /** Whether `free` is enough for `count` more of this one, or of one who has no share, and for what is kept for the others. */
  allow(share: Share | undefined, count: number, free: number): boolean {
    if (share !== undefined && share.used + count <= share.guaranteed) return true
    return free - count >= this.#kept - (share === undefined ? 0 : keptFor(share))
  }
}

function keptFor({ used, guaranteed }: Share): number {
  return Math.max(0, guaranteed - used)
}
