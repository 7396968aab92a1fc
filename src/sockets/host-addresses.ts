import { networkInterfaces } from 'node:os'
import { canonical, covers, familyOf, isLinkLocal, parseCidr } from '../address.ts'

/** Milliseconds that the addresses of this host are taken to stay what they are: each port of a range asks. */
const lookAgain = 500
const loopback = parseCidr('127.0.0.0/8')!

let all: readonly string[] = []
let lookedAt = Number.NEGATIVE_INFINITY

/** Those of its interfaces, canonical, without link-local ones. */
function ownAddresses(): readonly string[] {
  if (performance.now() - lookedAt > lookAgain) {
    lookedAt = performance.now()
    const found = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? [])
    all = [
      ...new Set(
        found.flatMap(({ address }) =>
          familyOf(address) === 0 || isLinkLocal(address) ? [] : [canonical(address)],
        ),
      ),
    ]
  }
  return all
}

/** Whether a listen host stands for what addresses this host has, which come and go. As for TCP, `::` means those of IPv4, too. */
export function isMany(host: string): boolean {
  return ['', '::', '0.0.0.0', 'localhost'].includes(host)
}

/** The addresses of this host that a listen host stands for now. `localhost` is no other address, whatever `lo` has. */
export function addressesOf(host: string): readonly string[] {
  switch (host) {
    case '':
    case '::':
      return ownAddresses()
    case '0.0.0.0':
      return ownAddresses().filter(address => familyOf(address) === 4)
    case 'localhost':
      return ownAddresses().filter(address => address === '::1' || covers(loopback, address))
    default:
      return [host]
  }
}
