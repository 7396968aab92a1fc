import { canonical, covers, familyOf, type HostPorts, parseCidr } from './address.ts'
import type { TunnelConfig } from './config.ts'

/** An address with ports that a part of the config listens on. */
export interface ListenerPlan {
  /** Where the config says so, as keys. */
  readonly path: readonly string[]
  readonly listen: HostPorts
}

export interface Collision {
  readonly earlier: ListenerPlan
  readonly later: ListenerPlan
  /** The first port that both have. */
  readonly port: number
}

const loopback = [parseCidr('127.0.0.0/8')!, parseCidr('::1')!]

/** Each listener that cannot be bound beside an earlier one, once. */
export function collisions(plans: readonly ListenerPlan[], tunnel: TunnelConfig | undefined): Collision[] {
  const hosts = plans.map(({ listen }) => addressesOf(listen.host, tunnel))
  return plans.flatMap((later, index): Collision[] => {
    const at = plans
      .slice(0, index)
      .findIndex((earlier, i) => samePort(earlier.listen, later.listen) && overlap(hosts[i]!, hosts[index]!))
    if (at === -1) return []
    const earlier = plans[at]!
    return [{ earlier, later, port: Math.max(earlier.listen.first, later.listen.first) }]
  })
}

/**
 * Whether a connection to this target comes in at this very listener. Only addresses tell: a name may be anything, but
 * for `localhost`.
 */
export function leadsTo(listen: HostPorts, target: HostPorts, tunnel: TunnelConfig | undefined): boolean {
  const hosts = addressesOf(listen.host, tunnel)
  const own = [...loopback, ...addressesOf('tunnel', tunnel).flatMap(address => parseCidr(address) ?? [])]
  const isHere = (address: string) =>
    hosts.includes(address) ||
    (hosts.includes(`all${familyOf(address)}`) && own.some(prefix => covers(prefix, address)))
  return samePort(listen, target) && reachedAt(target.host).some(isHere)
}

/** Where a connection to this host arrives: one to the unspecified address does at the loopback one (ip(7), ipv6(7)). */
function reachedAt(host: string): string[] {
  switch (host) {
    case '0.0.0.0':
      return ['127.0.0.1']
    case '::':
      return ['::1']
    case 'localhost':
      return ['127.0.0.1', '::1']
    default:
      return familyOf(host) === 0 ? [] : [host]
  }
}

function samePort(a: HostPorts, b: HostPorts): boolean {
  return a.first <= b.last && b.first <= a.last
}

/** What a listen host stands for: addresses, and the words `tunnel` (its addresses, known or not), `all4`, `all6`. */
function addressesOf(host: string, tunnel: TunnelConfig | undefined): string[] {
  switch (host) {
    case '':
    case '::': // takes IPv4 as well, unless asked not to
      return ['all4', 'all6']
    case '0.0.0.0':
      return ['all4']
    case 'localhost':
      return ['127.0.0.1', '::1']
    case 'tunnel':
      return ['tunnel', ...(tunnel?.addresses ?? []).map(({ address }) => canonical(address))]
    default:
      return [host]
  }
}

function overlap(a: readonly string[], b: readonly string[]): boolean {
  const covered = (one: string, other: string) =>
    one === other ||
    (one === 'all4' && (familyOf(other) === 4 || other === 'tunnel')) ||
    (one === 'all6' && (familyOf(other) === 6 || other === 'tunnel'))
  return a.some(one => b.some(other => covered(one, other) || covered(other, one)))
}
