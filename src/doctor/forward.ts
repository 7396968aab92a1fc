import type { Dated, EndStatus } from '../admin/status.ts'
import { parseHostPorts } from '../config/address.ts'
import { readHost } from '../config/host.ts'
import { raiseOpenFiles } from '../descriptors.ts'
import type { ForwardStatus, RefusalReason, TargetStatus } from '../forward/status.ts'
import { Names } from '../resolve.ts'
import { type Finding, failed, ok, warning } from './finding.ts'
import { headerFinding, longestHeader } from './header.ts'
import { nameFix } from './host.ts'
import { ownAddress, sendMarked } from './marked.ts'
import { reach } from './reach.ts'
import { judge, reactionsOf } from './target.ts'

type Forward = Dated<ForwardStatus>
type Target = Dated<TargetStatus>

/** Milliseconds. */
const answerWithin = 1000
/** Connections from one address that are no accident any more. */
const several = 3

/** Why connections of the running end's forwards fail, or come with the wrong address. */
export async function forwardFindings(status: EndStatus): Promise<Finding[]> {
  const findings = await Promise.all(
    status.forwards.map(async forward => [
      ...(await targetFindings(forward)),
      ...refusedFindings(forward),
      ...resetFindings(forward),
      ...clientFindings(status, forward),
    ]),
  )
  return findings.flat()
}

async function targetFindings(forward: Forward): Promise<Finding[]> {
  const { targets } = forward
  return (await Promise.all(targets.map(target => targetFinding(forward, target)))).flat()
}

async function targetFinding(forward: Forward, target: Target): Promise<Finding[]> {
  const { name, targets, sendProxy } = forward
  const { address, error = '' } = target
  const step = targets.length === 1 ? `target of ${name}` : `target ${address} of ${name}`
  const where = parseHostPorts(address)
  if (where === undefined) return []
  if (target.state === 'down')
    return [failed(step, `${address} does not take connections: ${error}`, targetFix(error, where.host))]
  const addresses = await new Names().resolve(where.host).catch(() => [])
  if (addresses.length === 0) return [failed(step, `${where.host} has no address`, nameFix(where.host))]
  if (sendProxy !== false && (await isOurs(addresses[0]!, where.first)))
    return [ok(step, `another end of ours answers at ${address}`)]
  const longest = longestHeader(forward, target)
  const reactions = await reactionsOf(addresses[0]!, where.first, sendProxy || 'v2', longest)
  if ('error' in reactions)
    return [
      failed(
        step,
        `${address} does not take connections: ${reactions.error}`,
        targetFix(reactions.error, where.host),
      ),
    ]
  return [headerFinding(step, forward, target, judge(sendProxy !== false, reactions), longest)]
}

/** Another end of ours says so, and need not be asked in a way that it counts as a client without a header. */
async function isOurs(host: string, port: number): Promise<boolean> {
  const reached = await reach(host, port)
  return (
    'socket' in reached &&
    (await sendMarked(reached.socket, ownAddress(reached.socket), answerWithin)) !== undefined
  )
}

function targetFix(error: string, host: string): string {
  if (/by the other end/.test(error)) return 'Run doctor at the other end: its target is down'
  if (/UNRESOLVED|no address|ENOTFOUND/.test(error)) return nameFix(host)
  if (/ECONNREFUSED/.test(error)) return 'Start the service, or correct host and port of the target'
  if (/no answer|ETIMEDOUT/.test(error))
    return 'See that the target runs, and that no firewall or NetworkPolicy drops connections to it'
  return 'Correct host and port of the target, or the route to it'
}

const refusals: Partial<Record<RefusalReason, (name: string) => readonly [found: string, fix: string]>> = {
  'untrusted-source': name => [
    'came with a PROXY header from an address that is not trusted',
    `Add the address of what stands in front to forwards.${name}.trustedProxies, or to the peer's AllowedIPs`,
  ],
  'header-missing': headerMissing,
  'header-timeout': headerMissing,
  'header-invalid': headerMissing,
  'proxy-not-accepted': name => [
    'were refused by the other end, whose forward takes no PROXY header',
    `Set acceptProxy: true there, or forwards.${name}.sendProxy: false here`,
  ],
  'descriptor-limit': () => [
    'were refused because this end, or the one behind it, may hold no more files open',
    `Let the process hold more: ${raiseOpenFiles}; or bound a forward with maxConnections`,
  ],
  'no-route': name => [
    'asked for a TLS server name without a route, or for none, and the forward has no target for them',
    `Add the name to forwards.${name}.routes, or a target for the rest`,
  ],
  'hello-timeout': name => [
    'did not send a whole TLS ClientHello in time',
    `Give protocols in which the server speaks first a forward without routes; forwards.${name}.timeouts.header is the time`,
  ],
  'no-listener': name => [
    'were refused by the other end, which has no listener for them',
    `Add a forward with listen: tunnel:PORT there, with the port of forwards.${name}.target`,
  ],
}

function headerMissing(name: string): readonly [found: string, fix: string] {
  return [
    'came without the PROXY header that this forward requires',
    `Let what connects here send it (sendProxy: v2 at the other end, send-proxy-v2 in HAProxy), or set forwards.${name}.acceptProxy: false, which shows its address instead of the client's`,
  ]
}

function refusedFindings({ name, refused }: Forward): Finding[] {
  return Object.entries(refused).flatMap(([reason, count]) => {
    const told = refusals[reason as RefusalReason]?.(name)
    if (told === undefined || count === 0) return []
    return [warning(`clients of ${name}`, `${count} ${told[0]} (${reason})`, told[1])]
  })
}

/** What the target's own reactions do not show: it may reset clients of some addresses, or of long names. */
function resetFindings({ name, headerResets, proxyHeaderLimit, sendProxy }: Forward): Finding[] {
  if (headerResets === 0) return []
  const limit = sendProxy === 'v2' ? ` (forwards.${name}.proxyHeaderLimit is ${proxyHeaderLimit})` : ''
  return [
    warning(
      `clients of ${name}`,
      `${headerResets} were reset by the target right behind the PROXY header: it may not take one this long, or not from this host, or not expect one`,
      `Look at the target's log, and at the table of docs/reverse-proxies.md for the length that it takes${limit}`,
    ),
  ]
}

/** Behind docker-proxy, or any proxy without a PROXY header, every client has the same private address. */
function clientFindings({ connections }: EndStatus, { name, acceptProxy }: Forward): Finding[] {
  if (acceptProxy !== false) return []
  const hosts = connections
    .filter(({ forward }) => forward === name)
    .map(({ client }) => parseHostPorts(client)?.host ?? '')
  const [first = ''] = hosts
  if (hosts.length < several || new Set(hosts).size > 1 || !readHost().gateways.includes(first)) return []
  return [
    warning(
      `clients of ${name}`,
      `all ${hosts.length} open connections come from ${first}, this host's gateway: a proxy in between hides the clients (docker-proxy does, for IPv6 clients of an IPv4-only bridge)`,
      'Run the container with --network host, or give the bridge IPv6; what else stands in front has to send a PROXY header',
    ),
  ]
}
