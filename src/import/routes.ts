import type { HostPorts } from '../address.ts'
import { parseRouteName } from '../config/server-name.ts'
import { noBackend } from './backends.ts'
import { Ledger } from './ledger.ts'
import { areTcp, type ProxySection } from './proxy.ts'
import { timeoutsOf } from './timeouts.ts'
import { type Upstream, upstreamOf } from './upstream.ts'
import type { Entry } from './yaml.ts'

/** What the routes of a forward are made of. */
export interface RouteSource {
  readonly frontend: ProxySection
  /** Where connections go that no route has; without a default, that of the first route, for what all have in common. */
  readonly backend: ProxySection
  readonly listen: HostPorts
  /** Another section by its name, of those that have servers. */
  readonly backendNamed: (name: string) => ProxySection | undefined
}

export interface Routes {
  readonly entries: readonly Entry[]
  /** `balance` and `check` of all: where the default has one server, those of the first route with several. */
  readonly choice: readonly Entry[]
}

/** `routes` from `use_backend NAME if { req.ssl_sni -i HOST… }`: the first that names a host has it. */
export function routesOf(source: RouteSource, usual: Upstream, ledger: Ledger): Routes {
  const { frontend, listen, backendNamed } = source
  let { choice } = usual
  const routes = new Map<string, Entry>()
  if (frontend.routing.length > 0 && source.backend !== frontend) refuseRules(source.backend, ledger)
  refuseHaste(frontend, ledger)
  for (const { line, backend: name, condition } of frontend.routing) {
    if (condition.remark !== undefined) ledger.warn(line, condition.remark)
    const backend = backendNamed(name)
    if (backend === undefined) ledger.missing(line, noBackend(name, 'a backend'))
    if (backend === undefined || !areTcp([backend], ledger)) continue
    const upstream = upstreamOf(backend, listen, ledger)
    if (upstream === undefined) continue
    if (choice.length === 0) choice = upstream.choice
    compare(source, backend, upstream, { ...usual, choice }, ledger)
    const lines = [...condition.lines, line, ...upstream.target.lines, backend.line]
    const left = condition.values.map(host => parseRouteName(host)!).filter(host => !isTaken(host, routes))
    for (const host of left) routes.set(host, { key: host, value: upstream.target.value, lines })
    if (left.length === 0) ledger.leaveOut(line, 'an earlier rule has its names')
  }
  return {
    entries: routes.size === 0 ? [] : [{ key: 'routes', value: [...routes.values()], lines: [] }],
    choice,
  }
}

/** HAProxy chooses as soon as no rule waits any more, and without a name takes the default. */
function refuseHaste({ routing, access, inspectDelay, failed }: ProxySection, ledger: Ledger): void {
  const [first] = routing
  // The first that can end the wait; a reject of some ends it for nobody else.
  const deciding = access.find(
    ({ stage, action, condition }) =>
      stage === 'content' && (action === 'accept' || condition === undefined || condition.kind === 'hello'),
  )
  const waits = deciding?.condition?.kind === 'hello' && (inspectDelay?.value ?? 0) > 0
  if (first === undefined || waits || failed.has('tcp-request')) return
  ledger.error(
    first.line,
    'found use_backend by a server name that nothing waits for, so HAProxy chooses at once, mostly before the name is there; add tcp-request inspect-delay 5s and tcp-request content accept if { req.ssl_hello_type 1 }',
  )
}

/** By an earlier rule, which is the one that counts: of the name itself, or of all names above it. */
function isTaken(host: string, routes: ReadonlyMap<string, Entry>): boolean {
  const labels = host.replace('*.', '').split('.')
  const wildcards = labels.map((_, i) => `*.${labels.slice(i).join('.')}`)
  return routes.has(host) || wildcards.slice(host.startsWith('*.') ? 0 : 1).some(name => routes.has(name))
}

/** A forward has one of everything but the target, so what differs here would be lost. */
function compare(
  { frontend, backend: ofDefault }: RouteSource,
  backend: ProxySection,
  { sendProxy, choice, maxConnections }: Upstream,
  usual: Upstream,
  ledger: Ledger,
): void {
  const refuse = (line: number, what: string) =>
    ledger.error(
      line,
      `found another ${what} than the default backend has; a forward has one, make them equal`,
    )
  if (sendProxy.value !== usual.sendProxy.value) refuse(sendProxy.lines[0]!, 'PROXY header')
  if (choice.length > 0 && differ(choice, usual.choice)) refuse(choice[0]!.lines[0]!, 'balance or check')
  if (maxConnections !== undefined) refuse(maxConnections.line, 'maxconn')
  // What there is to say of the timeouts themselves has been said of the default backend's.
  const timeouts = (of: ProxySection) => timeoutsOf(frontend, of, new Ledger())
  if (differ(timeouts(backend), timeouts(ofDefault))) refuse(backend.line, 'choice of timeouts')
  if (backend !== frontend) refuseRules(backend, ledger)
}

/** Rules of a backend see only the connections that are routed to it; a forward's allow and deny see all. */
function refuseRules({ access }: ProxySection, ledger: Ledger): void {
  for (const { line } of access)
    ledger.error(
      line,
      'found a rule for the connections of one backend among several; move it to the frontend',
    )
}

function differ(one: readonly Entry[], other: readonly Entry[]): boolean {
  const values = (entries: readonly Entry[]): string =>
    JSON.stringify(entries, (key, value) => (key === 'lines' || key === 'remark' ? undefined : value))
  return values(one) !== values(other)
}
