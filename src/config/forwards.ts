import { familyOf, formatHostPorts, type HostPorts } from './address.ts'
import type { ForwardConfig, Limits, TunnelConfig, UpstreamConfig } from './config.ts'
import type { ConfigDocument } from './document.ts'
import type { ForwardSection } from './forward-schema.ts'
import type { Issue } from './issue.ts'
import { leadsTo } from './listeners.ts'

/** What the keys of one forward mean together, and beside the tunnel. */
export interface ForwardSource {
  readonly name: string
  readonly section: ForwardSection
  readonly document: ConfigDocument
  /** Whether the config asks for a tunnel, be it without errors or not. */
  readonly hasTunnel: boolean
  readonly tunnel: TunnelConfig | undefined
}

export function resolveForward(source: ForwardSource, issues: Issue[]): ForwardConfig {
  const { name, section, tunnel } = source
  const onTunnel = section.listen.host === 'tunnel'
  const acceptProxy = section.acceptProxy ?? onTunnel
  const report: ReportKey = (key, message, ...item) =>
    void issues.push(source.document.issue('error', ['forwards', name, key, ...item], message))
  checkListen(source, report)
  section.target.forEach((target, index, all) => {
    const item = all.length > 1 ? [`${index}`] : []
    checkTarget(target, source, message => report('target', message, ...item))
  })
  checkChoice(section, report)
  checkProxies(section, acceptProxy !== false, onTunnel, report)
  return {
    name,
    listen: section.listen,
    upstream: upstreamOf(section),
    acceptProxy: acceptProxy === true ? 'any' : acceptProxy,
    trustedProxies: acceptProxy === false ? [] : (section.trustedProxies ?? trustedPeers(tunnel)),
    sendProxy: section.sendProxy,
    timeouts: section.timeouts,
    limits: limitsOf(section),
  }
}

/** One target is left alone while it answers; of several each is tried. */
function upstreamOf({ target, balance, check, listen }: ForwardSection): UpstreamConfig {
  const several = target.length > 1 ? { interval: 5000, rise: 2, fall: 3 } : 'passive'
  return { targets: target, balance, check: isRange(listen) ? false : (check ?? several) }
}

function limitsOf(section: ForwardSection): Limits {
  const { allow, deny, maxConnections, maxConnectionsPerClient, newConnectionsPerSecond } = section
  return { allow, deny, maxConnections, maxConnectionsPerClient, newConnectionsPerSecond }
}

/** Where a listener may be bound: at addresses, which no name server can move. */
export function isListenHost(host: string): boolean {
  return host === '' || host === 'localhost' || familyOf(host) !== 0
}

/** `item` is the place in a list. */
type ReportKey = (key: keyof ForwardSection, message: string, ...item: string[]) => void

function checkListen({ section, hasTunnel }: ForwardSource, report: ReportKey): void {
  const { host } = section.listen
  if (host === 'tunnel') {
    if (!hasTunnel)
      report('listen', 'found tunnel: without a tunnel; add tunnel: {wgConf: wg0.conf} or name an address')
  } else if (!isListenHost(host))
    report(
      'listen',
      `found the name ${host}; allowed: an address, localhost, tunnel, or nothing for all addresses`,
    )
}

function checkTarget(
  target: HostPorts,
  { section: { listen }, tunnel }: ForwardSource,
  report: (message: string) => void,
): void {
  if (target.host === '') report('found no host; allowed: host:port; write the host before the port')
  if ((isRange(listen) || isRange(target)) && (listen.first !== target.first || listen.last !== target.last))
    report(`found ports ${ports(target)}; allowed: those of listen, ${ports(listen)}, where one is a range`)
  else if (leadsTo(listen, target, tunnel))
    report(
      `found ${formatHostPorts(target)}, where this forward itself listens: each connection would come in again for ever; name where the service is, or move listen to another port or address`,
    )
}

function checkChoice({ listen, target, check }: ForwardSection, report: ReportKey): void {
  const texts = target.map(formatHostPorts)
  texts.forEach((text, index) => {
    if (texts.indexOf(text) < index)
      report('target', `found ${text} twice; allowed: each target once`, `${index}`)
  })
  if (isRange(listen) && check !== undefined && check !== false)
    report(
      'check',
      `found with the ports ${ports(listen)}; allowed: false, what one port answers says nothing of the others; leave it out`,
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

function trustedPeers(tunnel: TunnelConfig | undefined): ForwardConfig['trustedProxies'] {
  return (tunnel?.peers ?? []).flatMap(peer => peer.trusted)
}

function isRange({ first, last }: HostPorts): boolean {
  return first !== last
}

function ports({ first, last }: HostPorts): string {
  return first === last ? `${first}` : `${first}-${last}`
}
