import { formatHostPort, type SocketAddress } from '../address.ts'
import type { UdpForm } from '../config/config.ts'
import type { End, TraceAnswer } from '../connection/trace.ts'
import { type Tlv, uniqueIdOf } from '../proxy/proxy-header.ts'

/**
 * The answer to a marked datagram: a header with the mark of trace-mark.ts and nothing behind it. Who sends it is told
 * what this end saw of it; it begins no flow, and nothing of it goes to the target.
 */

/** What is told, as one line of JSON. Nobody asks the target: over UDP there is no word that is harmless to all. */
export interface DatagramTraceAnswer
  extends End,
    Pick<TraceAnswer, 'forward' | 'from' | 'client' | 'destination' | 'id'> {
  readonly sendProxy: false | UdpForm
  /** `ip:port` that the client's flow would go to. */
  readonly target: string
}

/** What this end saw, and what its forward would do with it. */
export interface TracedDatagram extends Pick<DatagramTraceAnswer, 'forward' | 'sendProxy' | 'target'> {
  /** What the end tells of itself. */
  readonly end: End
  /** Who sent it: only for a trusted one is the answer made. */
  readonly sender: SocketAddress
  readonly client: SocketAddress
  readonly destination: SocketAddress
  readonly tlvs: readonly Tlv[]
}

/** The datagram to send back to the sender. It is short: a few hundred bytes. */
export function answerDatagramTrace(traced: TracedDatagram): Buffer {
  const { end, forward, sender, client, destination, tlvs, sendProxy, target } = traced
  const answer: DatagramTraceAnswer = {
    version: end.version,
    mtu: end.mtu,
    forward,
    from: formatHostPort(sender.address, sender.port),
    client: formatHostPort(client.address, client.port),
    destination: formatHostPort(destination.address, destination.port),
    id: uniqueIdOf(tlvs)?.toString('hex'),
    sendProxy,
    target,
  }
  return Buffer.from(`${JSON.stringify(answer)}\n`)
}
