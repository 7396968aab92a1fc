import { parseHostPorts } from '../address.ts'
import { type Dated, type EndStatus, shortKey } from '../admin/status.ts'
import type { UdpForwardStatus } from '../connection/status.ts'
import type { DatagramTraceAnswer } from '../datagram/trace.ts'
import { Names } from '../names/names.ts'
import { type Finding, failed, ok, unknown } from './finding.ts'
import { nameFix } from './host.ts'
import { sendMarkedDatagram } from './marked-datagram.ts'

type Forward = Dated<UdpForwardStatus>

/**
 * Follows one datagram through a UDP forward, hop by hop. It is a marked header with nothing behind it, and goes to the
 * target itself: one that went to the listener would be passed on to whatever is there.
 */
export async function datagramTraceFindings({ tunnel }: EndStatus, forward: Forward): Promise<Finding[]> {
  const { name, listeners, targets, sendProxy } = forward
  const listener = unknown(
    `hop 1: client → ${name}`,
    `${listeners.map(listener => `${listener}/udp`).join(', ')}: what is sent there goes on to the target: not tried`,
  )
  const target = targets.find(({ state }) => state !== 'down') ?? targets[0]!
  const step = `hop 2: ${name} → ${target.address}`
  if (target.behind !== undefined)
    return [
      listener,
      unknown(
        step,
        `behind peer ${shortKey(target.behind)}, which is not reached: see what doctor says of it`,
      ),
    ]
  const reason = untraceable[`${sendProxy}`]
  if (reason !== undefined) return [listener, unknown(step, `${reason}: not tried`)]
  const mtu = tunnel?.mtu
  return [listener, ...(await markedHops(step, target.address, { sendProxy, mtu }))]
}

/** Forms whose receivers a marked header would harm, or say nothing to; by the value of `sendProxy`. */
const untraceable: Readonly<Record<string, string>> = {
  false: 'without a PROXY header there is nothing to mark, and nobody answers unless asked',
  'v2-first': 'to a receiver of v2-first whoever sends a header is a client',
  spp: 'SPP has no room for a mark',
}

async function markedHops(
  step: string,
  address: string,
  { sendProxy, mtu }: { readonly sendProxy: Forward['sendProxy']; readonly mtu: number | undefined },
): Promise<Finding[]> {
  const where = parseHostPorts(address)
  if (where === undefined) return []
  const [first] = await new Names().resolve(where.host).catch(() => [])
  if (first === undefined) return [failed(step, `${where.host} has no address`, nameFix(where.host))]
  const marked = await sendMarkedDatagram({ address: first, port: where.first })
  if (marked === undefined)
    return [
      unknown(
        step,
        'a marked datagram, sent three times, is not answered: it is a service, which has no answer to a header alone; an end of an older version, or one that does not trust this one or takes no v2 header; or UDP is lost on the way',
      ),
    ]
  if ('error' in marked) {
    const fix = 'Start what listens there, or correct host and port of the target'
    const found = `${address} cannot be reached: ${marked.error}`
    return [
      failed(
        step,
        found,
        marked.error === 'ECONNREFUSED' ? fix : 'See what doctor says of the peer and the target',
      ),
    ]
  }
  const { answer, ms, sent } = marked
  const facts = [
    `seen from ${answer.from} in ${ms.toFixed(1)} ms`,
    ...(sent > 1 ? [`at try ${sent}`] : []),
    `PROXY v2 (${sendProxy}) tells ${answer.client}`,
    `id ${answer.id}`,
    `MTU ${mtu ?? '-'} here, ${answer.mtu ?? '-'} there`,
  ]
  return [ok(step, facts.join(', ')), lastHop(answer)]
}

function lastHop({ forward, target, sendProxy }: DatagramTraceAnswer): Finding {
  const form =
    sendProxy === false ? 'without a header: it sees the other end as the client' : `with ${sendProxy}`
  return unknown(
    `hop 3: ${forward} → ${target}`,
    `${form}; udp: nobody answers unless asked, so whether the target is there the first client shows`,
  )
}
