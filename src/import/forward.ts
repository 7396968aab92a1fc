import { formatHostPort, type HostPorts } from '../address.ts'
import { both, type Filter, readFilter } from './access.ts'
import type { Bind } from './bind.ts'
import type { Ledger } from './ledger.ts'
import type { ProxySection } from './proxy.ts'
import { type RouteSource, routesOf } from './routes.ts'
import type { Stage } from './rules.ts'
import { timeoutsOf } from './timeouts.ts'
import { upstreamOf } from './upstream.ts'
import type { Entry } from './yaml.ts'

/** What a forward is made of. */
export interface Source extends RouteSource {
  readonly hasDefault: boolean
  /** Several lines where they make one listener. */
  readonly binds: readonly [Bind, ...Bind[]]
}

const anyone = ['0.0.0.0/0', '::/0']

/** The keys of one forward. */
export function forwardOf(source: Source, ledger: Ledger): Entry[] {
  const { frontend, backend, binds, listen } = source
  const upstream = upstreamOf(backend, listen, ledger)
  if (upstream === undefined) return []
  const { sender, client } = filtersOf(source, ledger)
  const routes = routesOf(source, upstream, ledger)
  return [
    listenOf(binds, listen),
    ...(source.hasDefault ? [upstream.target] : []),
    ...acceptProxyOf(source, sender, ledger),
    upstream.sendProxy,
    ...routes.choice,
    ...routes.entries,
    ...filterOf(client),
    ...limitsOf(source, upstream.maxConnections, ledger),
    ...timeoutsOf(frontend, backend, ledger),
  ]
}

function listenOf(binds: readonly Bind[], { host, first, last }: HostPorts): Entry {
  const range = first === last ? '' : `-${last}`
  const without = [...new Set(binds.flatMap(bind => bind.without))]
  const remarks = [
    ...(host === '0.0.0.0' ? [`IPv4 alone, as there; ":${first}${range}" takes IPv6, too`] : []),
    ...(without.length > 0 ? [`without ${without.join(', ')}`] : []),
  ]
  return {
    key: 'listen',
    value: `${formatHostPort(host, first)}${range}`,
    lines: binds.map(({ line }) => line),
    ...(remarks.length > 0 && { remark: remarks.join('; ') }),
  }
}

/**
 * `tcp-request connection` sees the address that the connection really comes from, the later stages that of the PROXY
 * header (`accept-proxy`, section 5.1 of HAProxy's configuration manual).
 */
function filtersOf(source: Source, ledger: Ledger): { sender: Filter; client: Filter } {
  const { frontend, backend, binds } = source
  const refusesOthers = frontend.routing.length > 0 && !source.hasDefault
  const read = (stage: Stage, { access }: ProxySection) => readFilter(stage, access, refusesOthers, ledger)
  const connection = read('connection', frontend)
  const own = both(read('session', frontend), read('content', frontend), ledger)
  const client = both(own, backend === frontend ? {} : read('content', backend), ledger)
  return binds[0].acceptProxy
    ? { sender: connection, client }
    : { sender: {}, client: both(connection, client, ledger) }
}

function acceptProxyOf({ binds, listen }: Source, sender: Filter, ledger: Ledger): Entry[] {
  const [{ line, acceptProxy }] = binds
  const lines = binds.map(bind => bind.line)
  const onTunnel = listen.host === 'tunnel'
  if (!acceptProxy) return onTunnel ? [{ key: 'acceptProxy', value: false, lines }] : []
  if (sender.deny !== undefined)
    ledger.error(
      sender.deny.lines[0]!,
      'found who may not send a PROXY header; trustedProxies says who may: write tcp-request connection reject unless { src PREFIX… }',
    )
  const accept: Entry = { key: 'acceptProxy', value: true, lines }
  if (sender.allow !== undefined)
    return [accept, { key: 'trustedProxies', value: sender.allow.values, lines: sender.allow.lines }]
  if (onTunnel) return [{ ...accept, remark: "from the peers' AllowedIPs alone" }]
  ledger.warn(
    line,
    "found accept-proxy, which believes anyone's PROXY header, and so does trustedProxies now; put the senders' prefixes there, or import with --wg-conf when they are the tunnel's peers",
  )
  return [
    accept,
    {
      key: 'trustedProxies',
      value: anyone,
      lines,
      remark: "ANYONE, as there: put the senders' prefixes here",
    },
  ]
}

function filterOf({ allow, deny }: Filter): Entry[] {
  return [
    ...(deny === undefined ? [] : [{ key: 'deny', value: deny.values, lines: deny.lines }]),
    ...(allow === undefined ? [] : [{ key: 'allow', value: allow.values, lines: allow.lines }]),
  ]
}

/** HAProxy lets connections wait that are too many; a forward refuses them. */
function limitsOf(
  { frontend, binds }: Source,
  ofServer: { value: number; line: number } | undefined,
  ledger: Ledger,
): Entry[] {
  const ofBinds = binds.flatMap(({ line, maxConnections }) =>
    maxConnections === undefined ? [] : [{ line, value: maxConnections }],
  )
  const limits = [frontend.maxConnections, ofServer, ...ofBinds].filter(limit => limit !== undefined)
  const entries: Entry[] = []
  if (limits.length > 0) {
    const value = Math.min(...limits.map(limit => limit.value))
    const lines = limits.map(({ line }) => line)
    const shared = frontend.maxConnections !== undefined && frontend.binds.length > binds.length
    ledger.warn(
      lines[0]!,
      `found maxconn; connections beyond ${value} are refused, they do not wait${shared ? `, and each listener of ${frontend.name} has that limit` : ''}`,
    )
    entries.push({ key: 'maxConnections', value, lines })
  }
  const { newConnections } = frontend
  if (newConnections !== undefined) {
    const { value, line } = newConnections
    const shared = frontend.binds.length > binds.length
    ledger.warn(
      line,
      `found rate-limit sessions; connections beyond ${value} a second are refused, they do not wait${shared ? `, and each listener of ${frontend.name} has that limit` : ''}`,
    )
    entries.push({ key: 'newConnectionsPerSecond', value, lines: [line] })
  }
  return entries
}
