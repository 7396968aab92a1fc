import { type Cidr, familyOf, toNumber } from './address.ts'

/** A set of prefixes for as many questions as there are prefixes: each costs a look-up for each length of a prefix. */
export class Covered {
  /** By family and length of the prefix, without their host bits. */
  readonly #networks = { 4: new Map<number, Set<bigint>>(), 6: new Map<number, Set<bigint>>() }

  constructor(cidrs: readonly Cidr[]) {
    for (const { address, bits, family } of cidrs) {
      const lengths = this.#networks[family]
      const networks = lengths.get(bits) ?? new Set()
      lengths.set(bits, networks.add(networkIn(toNumber(address), bits, family)))
    }
  }

  /** Whether one of them covers the address; never what is no address. */
  has(address: string): boolean {
    const family = familyOf(address)
    if (family === 0) return false
    const number = toNumber(address)
    for (const [bits, networks] of this.#networks[family])
      if (networks.has(networkIn(number, bits, family))) return true
    return false
  }
}

function networkIn(address: bigint, bits: number, family: 4 | 6): bigint {
  return address >> BigInt((family === 4 ? 32 : 128) - bits)
}
