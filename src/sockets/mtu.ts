import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { canonical, familyOf } from '../address.ts'

/** Milliseconds that what was found is taken to hold. */
const lookAgain = 2000
/** Bytes of the headers of IP and UDP. */
const headers = { 4: 28, 6: 48 }
/** Of a datagram, by the 16 bits of its length. */
const greatest = { 4: 65_507, 6: 65_527 }

let sizes = new Map<string, number>()
let lookedAt = Number.NEGATIVE_INFINITY

/**
 * Bytes of the largest payload of a datagram that leaves whole from this address of this host: what the MTU of its
 * interface has room for. More would leave in fragments, which Node cannot forbid (IP_PMTUDISC_DO of ip(7)).
 */
export function payloadLimit(address: string): number {
  if (performance.now() - lookedAt > lookAgain) look()
  if (!sizes.has(address)) {
    look()
    // Not looked for again before the rest is.
    if (!sizes.has(address)) sizes.set(address, Number.POSITIVE_INFINITY)
  }
  const family = familyOf(address) === 6 ? 6 : 4
  return Math.min(sizes.get(address)! - headers[family], greatest[family])
}

function look(): void {
  lookedAt = performance.now()
  sizes = new Map()
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    const mtu = mtuOf(name)
    for (const { address } of addresses ?? []) if (familyOf(address) !== 0) sizes.set(canonical(address), mtu)
  }
}

/** Without a limit where nobody tells: whatever is too large then leaves in fragments. */
function mtuOf(name: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/mtu`, 'utf8')) || Number.POSITIVE_INFINITY
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
