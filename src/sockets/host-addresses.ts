import { networkInterfaces } from 'node:os'
import { canonical, covers, familyOf, isLinkLocal, parseCidr } from '../address.ts'

/** Milliseconds that the addresses of this host are taken to stay what they are: each port of a range asks. */
const lookAgain = 500
const loopback = parseCidr('127.0.0.0/8')!

let all: readonly string[] = []
let lookedAt = Number.NEGATIVE_INFINITY

/** Those of this host's interfaces, canonical. */
export function ownAddresses(): readonly string[] {
  if (performance.now() - lookedAt > lookAgain) {
    lookedAt = performance.now()
    const found = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? [])
    all = [...new Set(found.flatMap(({ address }) => (familyOf(address) === 0 ? [] : [canonical(address)])))]
  }
  return all
}

/** Whether a listen host stands for what addresses this host has, which come and go. As for TCP, `::` means those of IPv4, too. */
export function isMany(host: string): boolean {
  return ['', '::', '0.0.0.0', 'localhost'].includes(host)
}

/** The addresses of this host that a listen host stands for now. `localhost` is no other address, whatever `lo` has. */
export function addressesOf(host: string): readonly string[] {
  // Of a link-local one nobody can be answered without a zone.
  const own = ownAddresses().filter(address => !isLinkLocal(address))
  switch (host) {
    case '':
    case '::':
      return own
    case '0.0.0.0':
      return own.filter(address => familyOf(address) === 4)
    case 'localhost':
      return own.filter(address => address === '::1' || covers(loopback, address))
    default:
      return [host]
  }
}
