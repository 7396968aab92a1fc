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

/** Who shares a number of things: to each as many are guaranteed. What is not used of it is kept, and nobody else's. */
export class Shares {
  readonly #whole: number
  #all: readonly Share[] = []
  /** For all together. */
  #kept = 0

  constructor(whole: number) {
    this.#whole = whole
  }

  /** From now on these; what the others still have counts until they give it back. */
  configure(shares: readonly Share[]): void {
    for (const share of this.#all) share.guaranteed = 0
    for (const share of shares) share.guaranteed = Math.floor(this.#whole / shares.length)
    this.#all = shares
    this.#kept = shares.reduce((sum, share) => sum + keptFor(share), 0)
  }

  /** It has so many more, or fewer. */
  use(share: Share, count: number): void {
    const before = keptFor(share)
    share.used += count
    this.#kept += keptFor(share) - before
  }

  /** What is kept for others than this one. */
  keptFrom(share: Share | undefined): number {
    return this.#kept - (share === undefined ? 0 : keptFor(share))
  }
}

/** Whether so many more are guaranteed to it. */
export function isGuaranteed(share: Share | undefined, count: number): boolean {
  return share !== undefined && share.used + count <= share.guaranteed
}

function keptFor({ used, guaranteed }: Share): number {
  return Math.max(0, guaranteed - used)
}
