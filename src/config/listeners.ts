import { canonical, familyOf, type HostPorts, isLoopback } from '../address.ts'
import type { TunnelConfig } from './config.ts'

/** An address with ports that a part of the config listens on. */
export interface ListenerPlan {
  /** Where the config says so, as keys. */
  readonly path: readonly string[]
  readonly protocol: 'tcp' | 'udp'
  readonly listen: HostPorts
}

export interface Collision {
  readonly earlier: ListenerPlan
  readonly later: ListenerPlan
  /** The first port that both have. */
  readonly port: number
}

/** Each listener that cannot be bound beside an earlier one, once. */
export function collisions(plans: readonly ListenerPlan[], tunnel: TunnelConfig | undefined): Collision[] {
  const ports = { tcp: new Map<number, Taken>(), udp: new Map<number, Taken>() }
  return plans.flatMap((later, index): Collision[] => {
    const hosts = addressesOf(later.listen.host, tunnel)
    let at = Infinity
    for (let port = later.listen.first; port <= later.listen.last; port++) {
      const taken = ports[later.protocol].get(port) ?? new Map<string, number>()
      ports[later.protocol].set(port, taken)
      at = Math.min(at, ...hosts.map(host => firstOf(taken, host)))
      for (const host of hosts) take(taken, host, index)
    }
    const earlier = plans[at]
    if (earlier === undefined) return []
    return [{ earlier, later, port: Math.max(earlier.listen.first, later.listen.first) }]
  })
}

/** At one port, by host: the first plan that takes it. `any4` and `any6` are the first with any address of the family. */
type Taken = Map<string, number>

function firstOf(taken: Taken, host: string): number {
  const isAll = host.startsWith('all')
  const wider = familiesOf(host).map(family => `${isAll ? 'any' : 'all'}${family}`)
  return Math.min(...[host, ...wider].map(name => taken.get(name) ?? Infinity))
}

function take(taken: Taken, host: string, index: number): void {
  for (const name of [host, ...familiesOf(host).map(family => `any${family}`)])
    if (!taken.has(name)) taken.set(name, index)
}

/** The addresses of a tunnel may be of either. */
function familiesOf(host: string): (4 | 6)[] {
  if (host === 'tunnel') return [4, 6]
  if (host === 'all4' || host === 'all6') return host === 'all4' ? [4] : [6]
  const family = familyOf(host)
  return family === 0 ? [] : [family]
}

/**
 * Whether a connection to this target comes in at this very listener. Only addresses tell: a name may be anything, but
 * for `localhost`.
 */
export function leadsTo(listen: HostPorts, target: HostPorts, tunnel: TunnelConfig | undefined): boolean {
  if (!samePort(listen, target)) return false
  const hosts = addressesOf(listen.host, tunnel)
  const isOwn = (address: string) => isLoopback(address) || addressesOf('tunnel', tunnel).includes(address)
  const isHere = (address: string) =>
    hosts.includes(address) || (hosts.includes(`all${familyOf(address)}`) && isOwn(address))
  return reachedAt(target.host).some(isHere)
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
