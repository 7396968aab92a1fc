import type { HostPorts } from '../address.ts'
import type { Bind } from './bind.ts'
import type { Ledger } from './ledger.ts'

/** The tunnel of this end, when the wg-quick file was named. */
export interface Tunnel {
  readonly wgConf: string
  /** Canonical. */
  readonly addresses: readonly string[]
}

/** What `bind` lines come to: one address and port, or a range. */
export interface Listener {
  readonly listen: HostPorts
  readonly binds: readonly [Bind, ...Bind[]]
}

/** Binds on every IPv4 and every IPv6 address make one listener, those on the tunnel's addresses another. */
export function listenersOf(binds: readonly Bind[], tunnel: Tunnel | undefined, ledger: Ledger): Listener[] {
  const listeners = new Map<string, Listener>()
  for (const bind of binds) {
    const { first, last } = bind.listen
    const isWildcard = ['0.0.0.0', '::'].includes(bind.listen.host)
    const host = tunnel?.addresses.includes(bind.listen.host) ? 'tunnel' : bind.listen.host
    const key = `${isWildcard ? '' : host} ${first} ${last}`
    const earlier = listeners.get(key)
    if (earlier !== undefined && earlier.binds[0].acceptProxy !== bind.acceptProxy)
      ledger.error(
        bind.line,
        `found port ${first} with and without accept-proxy, see line ${earlier.binds[0].line}; one listener takes it always or never`,
      )
    const isBothFamilies = earlier !== undefined && earlier.listen.host !== host
    listeners.set(key, {
      listen: { host: isBothFamilies ? '' : host, first, last },
      binds: earlier === undefined ? [bind] : [...earlier.binds, bind],
    })
  }
  for (const { listen, binds } of listeners.values())
    if (listen.host === '::' && binds.every(({ ipv6Only }) => ipv6Only))
      ledger.error(
        binds[0].line,
        'found v6only; a listener on every IPv6 address takes IPv4, too: name the address, or add a bind on *',
      )
  return [...listeners.values()]
}
