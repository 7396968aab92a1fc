import { formatHostPort, parseHostPorts, type SocketAddress } from '../address.ts'
import { ask } from '../admin/client.ts'
import { type Dated, type EndStatus, shortKey } from '../admin/status.ts'
import type { TcpForwardStatus } from '../connection/status.ts'
import type { TraceAnswer } from '../connection/trace.ts'
import { usageError } from '../errors.ts'
import { Names } from '../names/names.ts'
import { answerTimeout } from '../text/flags.ts'
import { stateOf } from '../upstream/status.ts'
import { datagramTraceFindings } from './datagram-trace.ts'
import { type Finding, failed, ok, unknown } from './finding.ts'
import { ownAddress, sendMarked } from './marked.ts'
import { otherEndFinding } from './other-end.ts'
import { reach } from './reach.ts'

type Forward = Dated<TcpForwardStatus>

/** Milliseconds for an answer. */
const patience = 3000

/**
 * Follows one connection through a forward of the end that runs here, hop by hop: to the listener as a client, and on
 * to the target with a header that is marked. Another end of ours answers a marked one with what it saw. Of a UDP forward
 * it is one datagram.
 */
export async function traceFindings(
  status: EndStatus,
  url: string,
  name: string | undefined,
): Promise<Finding[]> {
  const forward =
    name === undefined ? status.forwards[0] : status.forwards.find(forward => forward.name === name)
  if (forward === undefined)
    throw usageError(
      `no forward is called "${name}"; there are ${status.forwards.map(({ name }) => name).join(', ')}`,
    )
  if (forward.protocol === 'udp') return datagramTraceFindings(status, forward)
  const listener = await listenerHop(forward, url)
  return [listener.finding, ...(await targetHops(status, forward, listener.client))]
}

/** What this end makes of a client. */
async function listenerHop(
  { name, listeners, targets, acceptProxy }: Forward,
  url: string,
): Promise<{ finding: Finding; client: SocketAddress | undefined }> {
  const step = `hop 1: client → ${name}`
  const where = parseHostPorts((listeners[0] ?? '').replace('*', ''))
  if (where === undefined) return { finding: unknown(step, 'it has no listener'), client: undefined }
  if (acceptProxy !== false)
    return { finding: unknown(step, 'its clients have to send a PROXY header: not tried'), client: undefined }
  const { host, first: port } = where
  const reached = await reach(host === '' || host === '::' || host === '0.0.0.0' ? '127.0.0.1' : host, port)
  if ('error' in reached)
    return {
      finding: failed(
        step,
        `${formatHostPort(host, port)} cannot be reached: ${reached.error}`,
        stateOf(targets) === 'down'
          ? 'It is closed while none of its targets is up: see what doctor says of them'
          : 'Is a firewall of this host in the way?',
      ),
      client: undefined,
    }
  const { socket, ms } = reached
  const client = ownAddress(socket)
  const own = formatHostPort(client.address, client.port)
  try {
    const { body } = await ask(url, '/status.json', answerTimeout)
    const seen = (JSON.parse(body) as EndStatus).connections.find(connection => connection.client === own)
    const id = seen?.id === undefined ? '' : `, id ${seen.id}`
    const found =
      seen === undefined
        ? `connected in ${time(ms)}, and refused or gone at once`
        : `seen from ${seen.client}, in ${time(ms)}${id}`
    return {
      finding:
        seen === undefined
          ? failed(step, found, 'The log of this end has a line with the reason')
          : ok(step, found),
      client,
    }
  } finally {
    socket.resetAndDestroy()
  }
}

/** Across the tunnel, and from there to the target. */
async function targetHops(
  status: EndStatus,
  forward: Forward,
  client: SocketAddress | undefined,
): Promise<Finding[]> {
  const { name, targets, sendProxy } = forward
  const target = targets.find(({ state }) => state !== 'down') ?? targets[0]!
  const step = `hop 2: ${name} → ${target.address}`
  if (target.behind !== undefined)
    return [
      unknown(
        step,
        `behind peer ${shortKey(target.behind)}, which is not reached: see what doctor says of it`,
      ),
    ]
  const where = parseHostPorts(target.address)
  if (where === undefined) return []
  const addresses = await new Names().resolve(where.host).catch(() => [])
  const reached = await reach(addresses[0] ?? where.host, where.first)
  if ('error' in reached)
    return [failed(step, `not reached: ${reached.error}`, 'See what doctor says of the peer and the target')]
  const { socket, ms } = reached
  const mtu = status.tunnel === undefined ? '' : `, MTU ${status.tunnel.mtu}`
  if (sendProxy === false) {
    socket.destroy()
    return [ok(step, `connected in ${time(ms)}${mtu}; without a PROXY header there is nothing to mark`)]
  }
  const answer = await sendMarked(socket, client ?? ownAddress(socket), patience)
  if (answer === undefined)
    return [
      unknown(
        step,
        `connected in ${time(ms)}${mtu}; what is there answers no trace: a service, HAProxy, or an older version`,
      ),
    ]
  const facts = [
    `seen from ${answer.from} in ${time(ms)}`,
    `PROXY ${sendProxy === 'v1' ? 'v2 (this forward sends v1)' : 'v2'} tells ${answer.client}`,
    `id ${answer.id}`,
    `MTU ${status.tunnel?.mtu ?? '-'} here, ${answer.mtu ?? '-'} there`,
  ]
  return [ok(step, facts.join(', ')), lastHop(answer)]
}

function lastHop(answer: TraceAnswer): Finding {
  const { forward, target, targetMs = 0, sendProxy } = answer
  const header =
    sendProxy === false ? 'no PROXY header: it sees the other end as the client' : `PROXY ${sendProxy}`
  return otherEndFinding(`hop 3: ${forward} → ${target}`, `connected in ${time(targetMs)}, ${header}`, answer)
}

function time(ms: number): string {
  return `${ms.toFixed(1)} ms`
}
