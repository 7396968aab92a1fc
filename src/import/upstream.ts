import { familyOf, formatHostPort, type HostPorts } from '../address.ts'
import { compareChecks } from './health-check.ts'
import type { Ledger } from './ledger.ts'
import { nameParams } from './params.ts'
import type { ProxySection } from './proxy.ts'
import { type Server, serverDefaults } from './server.ts'
import { formatTime } from './time.ts'
import type { Entry } from './yaml.ts'

/** Where the connections of one listener go: `target` and what belongs to it. */
export interface Upstream {
  readonly target: Entry
  readonly sendProxy: Entry
  /** `balance` and `check`, where there are several targets. */
  readonly choice: readonly Entry[]
  /** The least number of connections at once that its one server takes. */
  readonly maxConnections: { readonly value: number; readonly line: number } | undefined
}

/** `undefined` where an error left nothing to go by. */
export function upstreamOf(backend: ProxySection, listen: HostPorts, ledger: Ledger): Upstream | undefined {
  const servers = orderOf(backend, ledger)
  const [first, ...others] = servers
  if (first === undefined) {
    if (!['server', 'server-template', 'dispatch'].some(name => backend.failed.has(name)))
      ledger.missing(
        backend.line,
        `found no server in ${backend.kind} ${backend.name}; add one, or remove the section`,
      )
    return undefined
  }
  const checked = servers.some(({ check }) => check)
  compareChecks(backend.healthCheck, checked, ledger)
  const targets = servers.map(server => targetOf(server, listen, ledger))
  const sendProxy = same('sendProxy', 'PROXY header', servers, ledger)
  same('weight', 'weight', servers, ledger)
  if (others.length > 0)
    for (const { line } of servers.filter(server => server.maxConnections !== undefined))
      ledger.error(
        line,
        'found a maxconn at one of several servers; a limit is of the whole forward, move it there',
      )
  const lines = servers.flatMap(server => [...server.lines, server.line])
  const without = servers.flatMap(server => [
    ...server.without,
    ...(others.length === 0 ? server.besideOthers : []),
  ])
  const remarks = [
    ...(servers.some(({ host }) => familyOf(host) === 0)
      ? ['all addresses of the name, looked up again; HAProxy keeps the first']
      : []),
    ...(without.length > 0 ? [`without ${nameParams(without)}`] : []),
  ]
  return {
    target: {
      key: 'target',
      value: others.length > 0 ? targets : targets[0]!,
      lines,
      ...(remarks.length > 0 && { remark: remarks.join('; ') }),
    },
    sendProxy: { key: 'sendProxy', value: sendProxy, lines: servers.map(({ line }) => line) },
    choice:
      others.length > 0
        ? [balanceOf(backend, servers, ledger), checkOf(servers, listen, ledger)]
        : alone(backend, ledger),
    maxConnections:
      others.length === 0 && first.maxConnections !== undefined
        ? { value: first.maxConnections, line: first.line }
        : undefined,
  }
}

/** What one server alone has no use for. */
function alone({ balance }: ProxySection, ledger: Ledger): [] {
  if (balance !== undefined) ledger.leaveOut(balance.line, 'there is one server')
  return []
}

/** Those that take connections, spare ones last. */
function orderOf({ servers }: ProxySection, ledger: Ledger): Server[] {
  for (const { line } of servers.filter(({ disabled }) => disabled)) ledger.leaveOut(line, 'disabled')
  const enabled = servers.filter(({ disabled }) => !disabled)
  return [...enabled.filter(({ backup }) => !backup), ...enabled.filter(({ backup }) => backup)]
}

function targetOf({ host, port, offset, line }: Server, listen: HostPorts, ledger: Ledger): string {
  const first = port ?? listen.first + offset
  if (listen.first === listen.last) {
    if (first < 1 || first > 65535)
      ledger.error(line, `found a port offset that leads to port ${first}; correct it`)
    return formatHostPort(host, first)
  }
  if (port !== undefined || offset !== 0)
    ledger.error(
      line,
      `found a port for the range ${listen.first}-${listen.last}; leave it out for the same ports, or write a bind for each port`,
    )
  return `${formatHostPort(host, listen.first)}-${listen.last}`
}

/** What all of these servers must have in common, those aside of whom an error has said that nobody knows it. */
function same<K extends 'sendProxy' | 'weight' | 'interval' | 'rise' | 'fall' | 'check'>(
  key: K,
  what: string,
  servers: readonly Server[],
  ledger: Ledger,
): Server[K] {
  const known = servers.filter(server => !Number.isNaN(server[key]))
  const [first = { ...servers[0]!, ...serverDefaults }] = known
  const other = known.find(server => server[key] !== first[key])
  if (other !== undefined)
    ledger.error(
      other.line,
      `found another ${what} than at line ${first.line}; one is for all targets, make them equal`,
    )
  return first[key]
}

/** HAProxy's default is roundrobin; spare servers are the last of `first`. */
function balanceOf(
  { balance, servers: all }: ProxySection,
  servers: readonly Server[],
  ledger: Ledger,
): Entry {
  const lines = [balance?.line ?? all[0]!.line]
  const spares = servers.filter(({ backup }) => backup)
  const [spare] = spares
  if (spare !== undefined && servers.some(({ check }) => !check))
    ledger.error(
      spare.line,
      'found a backup beside a server without check; HAProxy never uses it, as nothing tells it that the server is down: add check, or remove the backup',
    )
  if (spares.length > 0 && spares.length < servers.length - 1)
    ledger.error(
      spares[0]!.line,
      'found a backup beside several servers; allowed: one server and its backups, in their order',
    )
  if (spares.length > 0) {
    if (balance !== undefined) ledger.leaveOut(balance.line, 'the backups take over in their order')
    return { key: 'balance', value: 'first', lines: spares.map(({ line }) => line) }
  }
  const name = balance?.value.join(' ') ?? 'roundrobin'
  if (['roundrobin', 'leastconn', 'first'].includes(name)) return { key: 'balance', value: name, lines }
  if (name === 'static-rr') return { key: 'balance', value: 'roundrobin', lines }
  ledger.error(lines[0]!, `found balance ${name}; allowed: roundrobin, leastconn, first`)
  return { key: 'balance', value: 'first', lines }
}

/** HAProxy checks a range at its server's port; here what one port answers says nothing of the others. */
function checkOf(servers: readonly Server[], listen: HostPorts, ledger: Ledger): Entry {
  const lines = servers.flatMap(server => [...server.lines, server.line])
  const wanted = same('check', 'choice of check', servers, ledger)
  if (wanted && listen.first !== listen.last)
    for (const { line } of servers)
      ledger.warn(line, 'found check for a range of ports; they are not checked')
  if (!wanted || listen.first !== listen.last) return { key: 'check', value: false, lines }
  const value = [
    { key: 'interval', value: formatTime(same('interval', 'inter', servers, ledger)), lines },
    { key: 'rise', value: same('rise', 'rise', servers, ledger), lines },
    { key: 'fall', value: same('fall', 'fall', servers, ledger), lines },
  ]
  return { key: 'check', value, lines }
}
