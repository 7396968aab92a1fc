import type { Dated, EndStatus } from '../admin/status.ts'
import { parseHostPorts } from '../config/address.ts'
import { readHost } from '../config/host.ts'
import { raiseOpenFiles } from '../descriptors.ts'
import type { ForwardStatus, RefusalReason, TargetStatus } from '../forward/status.ts'
import { Names } from '../resolve.ts'
import { type Finding, failed, ok, unknown, warning } from './finding.ts'
import { nameFix, routeFix } from './host.ts'
import { ownAddress, sendMarked } from './marked.ts'
import { reach } from './reach.ts'
import { headerExpected } from './target.ts'

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
      ...refusedFindings(forward),
      ...clientFindings(status, forward),
    ]),
  )
  return findings.flat()
}

async function targetFindings(status: EndStatus, forward: Forward): Promise<Finding[]> {
  const { targets } = forward
  return (await Promise.all(targets.map(target => targetFinding(status, forward, target)))).flat()
}

async function targetFinding(
  { tunnel }: EndStatus,
  { name, targets, sendProxy }: Forward,
  target: Target,
): Promise<Finding[]> {
  const { address, error = '' } = target
  const step = targets.length === 1 ? `target of ${name}` : `target ${address} of ${name}`
  const where = parseHostPorts(address)
  if (where === undefined) return []
  const addresses = await new Names().resolve(where.host).catch(() => [])
  // Whoever answers there is not the peer: he is not asked either.
  const shut = tunnel?.device.shut.find(shut => addresses.some(found => found === shut.address))
  if (shut !== undefined)
    return [failed(step, `nothing is sent to ${shut.address}: ${shut.why}`, routeFix(shut.address))]
  if (target.state === 'down')
    return [failed(step, `${address} does not take connections: ${error}`, targetFix(error, where.host))]
  if (addresses.length === 0) return [failed(step, `${where.host} has no address`, nameFix(where.host))]
  const sent = sendProxy === false ? 'no PROXY header' : `a PROXY header (${sendProxy})`
  if (sendProxy !== false && (await isOurs(addresses[0]!, where.first)))
    return [ok(step, `another end of ours answers at ${address}`)]
  const expected = await headerExpected(addresses[0]!, where.first, sendProxy)
  if (typeof expected === 'object')
    return [
      failed(
        step,
        `${address} does not take connections: ${expected.error}`,
        targetFix(expected.error, where.host),
      ),
    ]
  switch (expected) {
    case 'missing':
      return [
        failed(
          step,
          `${address} closes connections without a PROXY header and takes those with one, and this forward sends none`,
          `Set forwards.${name}.sendProxy: v2 (or v1), or turn the header off at the target`,
        ),
      ]
    case 'unexpected':
      return [
        failed(
          step,
          `${address} does not expect the PROXY header that it is sent (${sendProxy}): it takes the header for a broken request`,
          `Turn it on at the target (nginx: listen ... proxy_protocol; Traefik: entryPoints.NAME.proxyProtocol.trustedIPs; HAProxy: accept-proxy), or set forwards.${name}.sendProxy: false, which loses the client's address`,
        ),
      ]
    case 'unknown':
      return [
        unknown(
          step,
          `${address} speaks first or cannot be asked: whether it expects ${sent} cannot be told`,
        ),
      ]
    default:
      return [ok(step, `${address} takes ${sent}`)]
  }
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
