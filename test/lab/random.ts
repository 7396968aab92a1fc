/** Numbers that look random and follow from a seed. */
export interface Random {
  /** A whole number, both ends included. */
  between(least: number, most: number): number
  pick<T>(from: readonly T[]): T
}

/** A linear congruential generator modulo 2^32, with the constants of Numerical Recipes, and its high bits mixed in. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    // The low bits of such a generator have short periods.
    return ((state ^ (state >>> 16)) >>> 0) / 2 ** 32
  }
  // Neighbouring seeds begin alike.
  for (let i = 0; i < 8; i++) next()
  const between = (least: number, most: number) => least + Math.floor(next() * (most - least + 1))
  return { between, pick: from => from[between(0, from.length - 1)]! }
}
