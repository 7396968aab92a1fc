import { parseHostPorts } from '../address.ts'
import { Owners } from '../admin/behind.ts'
import { type Dated, type EndStatus, shortKey } from '../admin/status.ts'
import { readHost } from '../config/host.ts'
import type { ForwardStatus, TcpForwardStatus, UdpForwardStatus } from '../connection/status.ts'
import type { TraceAnswer } from '../connection/trace.ts'
import { Names } from '../names/names.ts'
import { raiseOpenFiles } from '../sockets/descriptors.ts'
import { formatSeconds } from '../text/amount.ts'
import type { PeerStatus } from '../tunnel/status.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { TargetStatus, Verdict } from '../upstream/status.ts'
import { datagramTargetFinding, dropFindings } from './datagram.ts'
import { type Finding, failed, unknown, warning } from './finding.ts'
import { type HeaderSender, headerFinding, longestHeader } from './header.ts'
import { nameFix, routeFix } from './host.ts'
import { loopError, loopFinding } from './loop.ts'
import { ownAddress, sendMarked } from './marked.ts'
import { otherEndFinding } from './other-end.ts'
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
      ...(await targetFindings(status, forward)),
      ...trustFindings(status, forward),
      ...refusedFindings(status, forward),
      ...(forward.protocol === 'udp' ? dropFindings(status, forward) : resetFindings(forward)),
      ...(await clientFindings(status, forward)),
    ]),
  )
  return findings.flat()
}

async function targetFindings({ tunnel }: EndStatus, forward: Forward): Promise<Finding[]> {
  const { targets } = forward
  return (await Promise.all(targets.map(target => targetFinding(forward, target, tunnel)))).flat()
}

async function targetFinding(
  forward: HeaderSender | Dated<UdpForwardStatus>,
  target: Target,
  tunnel: EndStatus['tunnel'],
): Promise<Finding[]> {
  const { name, targets } = forward
  const { address, error = '', behind, since } = target
  const step = targets.length === 1 ? `target of ${name}` : `target ${address} of ${name}`
  const where = parseHostPorts(address)
  if (where === undefined) return []
  if (behind !== undefined)
    return [unknown(step, `${address} is behind peer ${shortKey(behind)}, which is not reached`)]
  const addresses = await new Names().resolve(where.host).catch(() => [])
  // Whoever answers there is not the peer: he is not asked either.
  const shut = tunnel?.device.shut.find(shut => addresses.some(found => found === shut.address))
  if (shut !== undefined)
    return [failed(step, `nothing is sent to ${shut.address}: ${shut.why}`, routeFix(shut.address))]
  const peer = tunnel && new Owners(tunnel).of(target)
  if (target.state === 'down') {
    const loop = loopError(error)
    if (loop !== undefined)
      return [failed(step, `${address} does not take connections: ${loop.found}`, loop.fix)]
    const age = formatSeconds((Date.now() - Date.parse(since)) / 1000)
    const what = forward.protocol === 'udp' ? 'datagram' : 'connection'
    const found = `${address} has taken no ${what} for ${age}: ${error}`
    return [failed(step, found, targetFix(error, where.host, peer))]
  }
  if (addresses.length === 0) return [failed(step, `${where.host} has no address`, nameFix(where.host))]
  const loop = loopFinding(step, address, addresses, forward, tunnel)
  if (loop !== undefined) return [loop]
  if (forward.protocol === 'udp') {
    const way = { address: addresses[0]!, port: where.first }
    return [await datagramTargetFinding(step, target, way, peer)]
  }
  const { sendProxy } = forward
  const answer = sendProxy === false ? undefined : await otherEnd(addresses[0]!, where.first)
  if (answer !== undefined) {
    const reached = `another end of ours answers at ${address}, and reaches its target ${answer.target}`
    return [otherEndFinding(step, reached, answer)]
  }
  const longest = longestHeader(forward, target)
  const reactions = await reactionsOf(addresses[0]!, where.first, sendProxy || 'v2', longest)
  if ('error' in reactions)
    return [
      failed(
        step,
        `${address} does not take connections: ${reactions.error}`,
        targetFix(reactions.error, where.host, peer),
      ),
    ]
  return [headerFinding(step, forward, target, judge(sendProxy !== false, reactions), longest)]
}

/** What a target that has just taken a connection makes of what this forward sends. */
export async function judgeTarget(forward: HeaderSender, address: string): Promise<Verdict | undefined> {
  const since = new Date().toISOString()
  const target: Target = { address, name: undefined, state: 'up', since, error: undefined, active: 0 }
  const [finding] = await targetFinding(forward, target, undefined)
  return finding && { state: finding.state, found: finding.found, fix: finding.fix }
}

/** Another end of ours says so, and need not be asked in a way that it counts as a client without a header. */
async function otherEnd(host: string, port: number): Promise<TraceAnswer | undefined> {
  const reached = await reach(host, port)
  if ('error' in reached) return undefined
  return sendMarked(reached.socket, ownAddress(reached.socket), answerWithin)
}

function targetFix(error: string, host: string, peer: Dated<PeerStatus> | undefined): string {
  if (/by the other end/.test(error)) return 'Run doctor at the other end: its target is down'
  if (/UNRESOLVED|no address|ENOTFOUND/.test(error)) return nameFix(host)
  if (/ECONNREFUSED/.test(error)) return 'Start the service, or correct host and port of the target'
  if (/no answer|ETIMEDOUT/.test(error) && peer !== undefined)
    return `See what doctor says of peer ${shortKey(peer.publicKey)}, which the target is behind; and that a firewall there lets connections from the tunnel in`
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
  loop: () => [
    'came back from where they were sent, or would have: a target leads here again',
    'See the line `connection refused` (`flow refused` over UDP) with reason loop in the log, here and at the other end: it names the target',
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

/** No client through the tunnel is let in. */
function trustFindings({ health }: EndStatus, { name }: Forward): Finding[] {
  const { detail } =
    health.reasons.find(({ code, forward }) => code === 'nobody-trusted' && forward === name) ?? {}
  if (detail === undefined) return []
  const fix = `Name each peer's own tunnel address in tunnel.probe.addresses, or set forwards.${name}.trustedProxies`
  return [failed(`clients of ${name}`, detail, fix)]
}

function refusedFindings({ startedAt }: EndStatus, { name, refused }: Forward): Finding[] {
  const age = formatSeconds((Date.now() - Date.parse(startedAt)) / 1000)
  return Object.entries(refused).flatMap(([reason, count]) => {
    const told = refusals[reason as RefusalReason]?.(name)
    if (told === undefined || count === 0) return []
    const found = `${count} ${told[0]} (${reason}), in the ${age} that this end has run`
    return [warning(`clients of ${name}`, found, told[1])]
  })
}

/** What the target's own reactions do not show: it may reset clients of some addresses, or of long names. */
function resetFindings({
  name,
  headerResets,
  proxyHeaderLimit,
  sendProxy,
}: Dated<TcpForwardStatus>): Finding[] {
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
async function clientFindings(
  { connections }: EndStatus,
  { name, acceptProxy }: Forward,
): Promise<Finding[]> {
  if (acceptProxy !== false) return []
  const hosts = connections
    .filter(({ forward }) => forward === name)
    .map(({ client }) => parseHostPorts(client)?.host ?? '')
  const [first = ''] = hosts
  if (hosts.length < several || new Set(hosts).size > 1) return []
  if (!(await readHost()).gateways.includes(first)) return []
  return [
    warning(
      `clients of ${name}`,
      `all ${hosts.length} open connections come from ${first}, this host's gateway: a proxy in between hides the clients (docker-proxy does, for IPv6 clients of an IPv4-only bridge)`,
      'Run the container with --network host, or give the bridge IPv6; what else stands in front has to send a PROXY header',
    ),
  ]
}
