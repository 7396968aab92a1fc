import { familyOf } from '../address.ts'
import {
  type Limits,
  type TcpForwardConfig,
  type Timeouts,
  type UdpForm,
  type UdpForwardConfig,
  type UdpTimeouts,
  udpForms,
} from './config.ts'
import { Covered } from './covered.ts'
import type { ForwardSection } from './forward-schema.ts'
import { tunnelled } from './tunnelled.ts'
import type { ReportKey, UpstreamSource } from './upstreams.ts'

/** What the keys of a forward mean with its protocol, and which have no meaning with it. */

const tcpTimeouts: Timeouts = { connect: 5000, header: 5000, idle: 0, halfClosed: 300_000 }
const udpTimeouts: UdpTimeouts = { udp: 60_000, proxyFirst: 10_000 }
/** Flows cost a socket each, and anybody can begin them without an answer: they have a bound unless one is given. */
const udpLimits = { maxConnections: 4096, maxConnectionsPerClient: 256, newConnectionsPerSecond: 1000 }

type TcpPart = Pick<TcpForwardConfig, 'protocol' | 'acceptProxy' | 'sendProxy' | 'timeouts'>
type UdpPart = Pick<UdpForwardConfig, 'protocol' | 'acceptProxy' | 'sendProxy' | 'timeouts'>

export function tcpOf({ section }: UpstreamSource, report: ReportKey): TcpPart {
  const { acceptProxy = section.listen.host === 'tunnel', sendProxy = 'v2', timeouts } = section
  if (isForm(acceptProxy))
    report('acceptProxy', `found ${acceptProxy}, ${needsUdp}; allowed: false, true (v1 or v2), v1, v2`)
  if (isForm(sendProxy)) report('sendProxy', `found ${sendProxy}, ${needsUdp}; allowed: false, v1, v2`)
  for (const key of ['udp', 'proxyFirst'] as const)
    if (timeouts[key] !== undefined)
      report('timeouts', `found, ${needsUdp}; allowed: ${Object.keys(tcpTimeouts).join(', ')}`, key)
  return {
    protocol: 'tcp',
    acceptProxy: acceptProxy === true || isForm(acceptProxy) ? 'any' : acceptProxy,
    sendProxy: isForm(sendProxy) ? 'v2' : sendProxy,
    timeouts: {
      connect: timeouts.connect ?? tcpTimeouts.connect,
      header: timeouts.header ?? tcpTimeouts.header,
      idle: timeouts.idle ?? tcpTimeouts.idle,
      halfClosed: timeouts.halfClosed ?? tcpTimeouts.halfClosed,
    },
  }
}

export function udpOf(source: UpstreamSource, report: ReportKey): UdpPart {
  const { section } = source
  const { acceptProxy = section.listen.host === 'tunnel', check, routes, timeouts } = section
  const sendProxy = section.sendProxy ?? defaultForm(source)
  if (acceptProxy === 'v1' || acceptProxy === 'v2')
    report(
      'acceptProxy',
      `found ${acceptProxy} with protocol: udp; allowed: false, true (v2-every), ${udpForms.join(', ')}`,
    )
  if (sendProxy === 'v1' || sendProxy === 'v2')
    report('sendProxy', `found ${sendProxy} with protocol: udp; allowed: false, ${udpForms.join(', ')}`)
  if (routes !== undefined)
    report('routes', 'found with protocol: udp, whose datagrams are not looked into; use target alone')
  if (check !== undefined && check !== false)
    report(
      'check',
      'found with protocol: udp; allowed: false, a target is down while its host refuses datagrams; leave it out',
    )
  for (const key of ['connect', 'header', 'idle', 'halfClosed'] as const)
    if (timeouts[key] !== undefined)
      report('timeouts', `found with protocol: udp; allowed: ${Object.keys(udpTimeouts).join(', ')}`, key)
  if (timeouts.proxyFirst !== undefined && acceptProxy !== 'v2-first' && sendProxy !== 'v2-first')
    report(
      'timeouts',
      'found without v2-first; allowed: with sendProxy or acceptProxy: v2-first',
      'proxyFirst',
    )
  return {
    protocol: 'udp',
    acceptProxy: acceptProxy === true ? 'v2-every' : isForm(acceptProxy) && acceptProxy,
    sendProxy: isForm(sendProxy) && sendProxy,
    timeouts: {
      udp: timeouts.udp ?? udpTimeouts.udp,
      proxyFirst: timeouts.proxyFirst ?? udpTimeouts.proxyFirst,
    },
  }
}

const needsUdp = 'which needs protocol: udp'

/** Another end of this program takes headers; who is not in the tunnel may take them for the client's data. */
function defaultForm({ section: { target = [] }, tunnel }: UpstreamSource): false | UdpForm {
  if (tunnel === undefined || target.length === 0) return false
  const inside = new Covered(tunnelled(tunnel))
  return target.every(({ host }) => familyOf(host) !== 0 && inside.has(host)) && 'v2-every'
}

function isForm(value: boolean | string): value is UdpForm {
  return (udpForms as readonly unknown[]).includes(value)
}

export function limitsOf(section: ForwardSection): Limits {
  const { allow, deny, maxConnections, maxConnectionsPerClient, newConnectionsPerSecond } = section
  const limits = { allow, deny, maxConnections, maxConnectionsPerClient, newConnectionsPerSecond }
  if (section.protocol === 'tcp') return limits
  return {
    ...limits,
    maxConnections: maxConnections ?? udpLimits.maxConnections,
    maxConnectionsPerClient: maxConnectionsPerClient ?? udpLimits.maxConnectionsPerClient,
    newConnectionsPerSecond: newConnectionsPerSecond ?? udpLimits.newConnectionsPerSecond,
  }
}
