import { familyOf, specialKindOf } from '../address.ts'
import type { ForwardConfig, Limits } from './config.ts'
import type { ForwardSection } from './forward-schema.ts'
import type { Issues } from './issues.ts'
import { type ReportKey, resolveUpstreams, type UpstreamSource } from './upstreams.ts'

/**
 * Bytes of a PROXY header that everybody has room for: as many as the longest of v1 has, for which nginx has made its
 * buffer. docs/reverse-proxies.md tells what each back end takes.
 */
const leastTaken = 107

/** What the keys of one forward mean together, and beside the tunnel. */
export interface ForwardSource extends UpstreamSource {
  /** Whether the config asks for a tunnel, be it without errors or not. */
  readonly hasTunnel: boolean
  /** Whom the forwards on the tunnel trust unless they say otherwise; one list for all of them. */
  readonly trustedPeers: ForwardConfig['trustedProxies']
}

export function resolveForward(source: ForwardSource, issues: Issues): ForwardConfig {
  const { name, section, trustedPeers } = source
  const onTunnel = section.listen.host === 'tunnel'
  const acceptProxy = section.acceptProxy ?? onTunnel
  const report: ReportKey = (key, message, ...item) =>
    issues.add(source.document.issue('error', ['forwards', name, key, ...item], message))
  checkListen(source, report)
  const { upstream, routes } = resolveUpstreams(source, report)
  checkProxies(section, acceptProxy !== false, onTunnel, report)
  if (section.proxyHeaderLimit !== undefined && section.sendProxy !== 'v2')
    report(
      'proxyHeaderLimit',
      `found with sendProxy: ${section.sendProxy}; allowed: with sendProxy: v2, whose header alone has a length to choose; remove it`,
    )
  return {
    name,
    listen: section.listen,
    upstream,
    routes,
    acceptProxy: acceptProxy === true ? 'any' : acceptProxy,
    trustedProxies: acceptProxy === false ? [] : (section.trustedProxies ?? trustedPeers),
    sendProxy: section.sendProxy,
    proxyHeaderLimit: section.proxyHeaderLimit ?? leastTaken,
    timeouts: section.timeouts,
    limits: limitsOf(section),
  }
}

function limitsOf(section: ForwardSection): Limits {
  const { allow, deny, maxConnections, maxConnectionsPerClient, newConnectionsPerSecond } = section
  return { allow, deny, maxConnections, maxConnectionsPerClient, newConnectionsPerSecond }
}

/** Where a listener may be bound: at addresses, which no name server can move. */
export function isListenHost(host: string): boolean {
  return host === '' || host === 'localhost' || (familyOf(host) !== 0 && specialKindOf(host) === undefined)
}

function checkListen({ section, hasTunnel }: ForwardSource, report: ReportKey): void {
  const { host } = section.listen
  if (host === 'tunnel') {
    if (!hasTunnel)
      report('listen', 'found tunnel: without a tunnel; add tunnel: {wgConf: wg0.conf} or name an address')
  } else if (specialKindOf(host) !== undefined)
    report(
      'listen',
      `found ${host}, ${specialKindOf(host)}, where nobody can connect; name another address of this host`,
    )
  else if (!isListenHost(host))
    report(
      'listen',
      `found the name ${host}; allowed: an address, localhost, tunnel, or nothing for all addresses`,
    )
}

function checkProxies(section: ForwardSection, accepts: boolean, onTunnel: boolean, report: ReportKey): void {
  if (accepts && !onTunnel && section.trustedProxies === undefined)
    report(
      'acceptProxy',
      'found without trustedProxies, so anyone could claim any address; add trustedProxies: [PREFIX] of those who send the header',
    )
  if (!accepts && section.trustedProxies !== undefined)
    report(
      'trustedProxies',
      `found while acceptProxy is false${section.acceptProxy === undefined ? ' (its default here)' : ''}; set acceptProxy or remove trustedProxies`,
    )
}
