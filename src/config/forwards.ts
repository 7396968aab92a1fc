import { familyOf, specialKindOf } from '../address.ts'
import type { CommonForwardConfig, ForwardConfig } from './config.ts'
import type { ForwardSection } from './forward-schema.ts'
import type { Issues } from './issues.ts'
import { leadsTo } from './listeners.ts'
import { limitsOf, tcpOf, udpOf } from './protocols.ts'
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
  readonly trustedPeers: CommonForwardConfig['trustedProxies']
}

export function resolveForward(source: ForwardSource, issues: Issues): ForwardConfig {
  const { name, section, trustedPeers } = source
  const onTunnel = section.listen.host === 'tunnel'
  const report: ReportKey = (key, message, ...item) =>
    issues.add(source.document.issue('error', ['forwards', name, key, ...item], message))
  checkListen(source, report)
  checkProbed(source, issues)
  const { upstream, routes } = resolveUpstreams(source, report)
  const accepts = (section.acceptProxy ?? onTunnel) !== false
  checkProxies(section, accepts, onTunnel, report)
  const own = section.protocol === 'udp' ? udpOf(source, report) : tcpOf(source, report)
  const sendProxy = section.sendProxy ?? own.sendProxy
  if (section.proxyHeaderLimit !== undefined && [false, 'v1', 'spp'].includes(sendProxy)) {
    const allowed = section.protocol === 'udp' ? 'v2-every, v2-first, v2-alone' : 'v2'
    report(
      'proxyHeaderLimit',
      `found with sendProxy: ${sendProxy}; allowed: with sendProxy: ${allowed}, whose header alone has a length to choose; remove it`,
    )
  }
  return {
    ...own,
    name,
    listen: section.listen,
    upstream,
    routes,
    trustedProxies: accepts ? (section.trustedProxies ?? trustedPeers) : [],
    proxyHeaderLimit: section.proxyHeaderLimit ?? leastTaken,
    limits: limitsOf(section),
  }
}

/** Where a listener may be bound: at addresses, which no name server can move. */
export function isListenHost(host: string): boolean {
  return host === '' || host === 'localhost' || (familyOf(host) !== 0 && specialKindOf(host) === undefined)
}

function checkListen({ section, hasTunnel, tunnel }: ForwardSource, report: ReportKey): void {
  const { host, first, last } = section.listen
  const wireGuards = section.protocol === 'udp' ? (tunnel?.listenPort ?? 0) : 0
  if (first <= wireGuards && wireGuards <= last)
    report(
      'listen',
      `found UDP port ${wireGuards}, which is WireGuard's own at all addresses (ListenPort); move one of them to another port`,
    )
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

/** The answer to a probe over UDP is that nothing listens there. */
function checkProbed({ name, section, tunnel, document }: ForwardSource, issues: Issues): void {
  if (section.protocol === 'tcp' || tunnel === undefined || tunnel.probe === false) return
  const { port } = tunnel.probe
  const isProbed = tunnel.addresses.some(({ address }) =>
    leadsTo(section.listen, { host: address, first: port, last: port }, tunnel),
  )
  if (!isProbed) return
  const message = `found UDP port ${port}, which the other ends probe, unless their tunnel.probe.port is another one: their datagrams would go to the target, and a packet size that does not pass is not found; choose another port, or set tunnel.probe.port at all ends`
  issues.add(document.issue('warning', ['forwards', name, 'listen'], message))
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
