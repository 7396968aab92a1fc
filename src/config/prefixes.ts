import { BlockList } from 'node:net'
import { type Cidr, familyOf } from '../address.ts'

/** A set of prefixes that is asked whether an address is in it. The last answer is kept: few ends ask again and again. */
export class Prefixes {
  readonly #list = new BlockList()
  #asked = ''
  #answer = false

  constructor(cidrs: readonly Cidr[]) {
    for (const { address, bits, family } of cidrs)
      this.#list.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6')
  }

  /** IPv4-mapped IPv6 is to be un-mapped. What is no address is in no prefix, nor is one with a zone (`%eth0`). */
  has(address: string): boolean {
    if (address === this.#asked) return this.#answer
    const family = familyOf(address)
    this.#asked = address
    this.#answer = family !== 0 && this.#list.check(address, family === 6 ? 'ipv6' : 'ipv4')
    return this.#answer
  }
}

const made = new WeakMap<readonly Cidr[], Prefixes>()

/** One for all who have the very same list: thousands of forwards trust the same peers. */
export function prefixesOf(cidrs: readonly Cidr[]): Prefixes {
  const known = made.get(cidrs) ?? new Prefixes(cidrs)
  made.set(cidrs, known)
  return known
}
