import { type Cidr, familyOf, toNumber } from '../address.ts'

/** A set of prefixes for as many questions as there are prefixes: each costs a look-up for each length of a prefix. */
export class Covered<Prefix extends Cidr = Cidr> {
  /** By family, length and network; the longest first. */
  readonly #lengths = { 4: new Map<number, Map<bigint, Prefix>>(), 6: new Map<number, Map<bigint, Prefix>>() }

  /** Of equal ones the first counts. */
  constructor(prefixes: readonly Prefix[]) {
    for (const prefix of prefixes.toSorted((a, b) => b.bits - a.bits)) {
      const { address, bits, family } = prefix
      const networks = this.#lengths[family].get(bits) ?? new Map<bigint, Prefix>()
      this.#lengths[family].set(bits, networks)
      const network = networkIn(toNumber(address), bits, family)
      if (!networks.has(network)) networks.set(network, prefix)
    }
  }

  /** Whether one of them covers the address; never what is no address. */
  has(address: string): boolean {
    return this.find(address) !== undefined
  }

  /** The longest of those that cover the address, of those with at most so many bits. */
  find(address: string, mostBits = 128): Prefix | undefined {
    const family = familyOf(address)
    if (family === 0) return undefined
    const number = toNumber(address)
    for (const [bits, networks] of this.#lengths[family]) {
      const prefix = bits > mostBits ? undefined : networks.get(networkIn(number, bits, family))
      if (prefix !== undefined) return prefix
    }
    return undefined
  }
}

function networkIn(address: bigint, bits: number, family: 4 | 6): bigint {
  return address >> BigInt((family === 4 ? 32 : 128) - bits)
}
