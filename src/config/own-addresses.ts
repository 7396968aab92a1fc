import {
  type Cidr,
  covers,
  fromNumber,
  isLinkLocal,
  networkOf,
  parseCidr,
  specialKindOf,
  toNumber,
} from '../address.ts'
import type { Placed, Report } from './wg-section.ts'

const KEY = 'Interface.Address'

/** What no device can have, or nobody can reach it there. */
const useless = (
  [
    ['0.0.0.0/8', 'an address of "this network" (RFC 1122)'],
    ['::/128', 'the unspecified address'],
    ['127.0.0.0/8', 'a loopback address'],
    ['::1/128', 'a loopback address'],
    ['::ffff:0:0/96', 'an IPv4-mapped address'],
  ] as const
).map(([prefix, kind]) => ({ prefix: parseCidr(prefix)!, kind }))

/** Bits: what is shorter is hardly a subnet of a tunnel. */
const shortest = { 4: 8, 6: 32 }

export interface OwnAddresses {
  /** What can be listened on; one address may stand there with two masks. */
  readonly addresses: readonly Cidr[]
  readonly linkLocal: readonly Cidr[]
}

/**
 * This end's own addresses as far as they are of use, with an issue for each that is not.
 * @param usable those whose family the kernel has.
 */
export function ownAddresses(usable: readonly Placed<Cidr>[], report: Report): OwnAddresses {
  for (const own of usable) reportUseless(own, report)
  const linkLocal = usable.filter(({ value }) => isLinkLocal(value.address))
  const others = usable.filter(({ value }) => !isLinkLocal(value.address))
  for (const { value, line, column } of linkLocal)
    if (others.length > 0)
      report(
        'warning',
        { line, column },
        KEY,
        `found the link-local address ${value.address}: the device gets it, and nothing listens there`,
      )
  if (linkLocal.length > 0 && others.length === 0)
    report(
      'error',
      linkLocal[0]!,
      KEY,
      'found link-local addresses alone, where nothing can listen; add another Address, such as 10.1.10.1',
    )
  return { addresses: others.map(({ value }) => value), linkLocal: linkLocal.map(({ value }) => value) }
}

function reportUseless({ value, line, column }: Placed<Cidr>, report: Report): void {
  const { address } = value
  const kind =
    useless.find(({ prefix }) => covers(prefix, address))?.kind ??
    (isLinkLocal(address) ? undefined : specialKindOf(address))
  const say = (severity: 'error' | 'warning', what: string) =>
    report(severity, { line, column }, KEY, `found ${address}/${value.bits}, ${what}`)
  if (kind !== undefined)
    say('error', `${kind}; allowed: an address that the other end can reach, such as 10.1.10.1`)
  else if (value.bits < shortest[value.family] && !isLinkLocal(address))
    say(
      'warning',
      `whose subnet is shorter than /${shortest[value.family]}: the kernel routes all of it into the tunnel; write the mask of the tunnel's own subnet`,
    )
  else if (address === broadcastOf(value))
    say(
      'warning',
      'the broadcast address of its subnet: an end with the same mask cannot connect to it; take another',
    )
}

/** Of an IPv4 subnet; a /31 and a /32 have none. */
function broadcastOf(cidr: Cidr): string | undefined {
  if (cidr.family === 6 || cidr.bits > 30) return undefined
  const network = toNumber(networkOf(cidr).split('/')[0]!)
  return fromNumber(network + (1n << BigInt(32 - cidr.bits)) - 1n, 4)
}
