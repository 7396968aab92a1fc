import type { SocketAddress } from '../address.ts'
import { withoutFlow } from '../proxy/flow-mark.ts'
import { type ProxyHeader, ProxyHeaderError, parseProxyHeader, type Tlv } from '../proxy/proxy-header.ts'
import { bare, none } from './form.ts'

/** What a receiver makes of a datagram. */

/** Whose a datagram is, and the flow that it belongs to. */
export interface FlowSource {
  /**
   * Of the flow. The sender alone where its port stands for one client at a time: a flow of this key with another client
   * has ended. Sender and client where a sender tells the client with every datagram.
   */
  readonly key: string
  readonly sender: SocketAddress
  readonly client: SocketAddress
  /** Where the client sent to; `undefined` where nobody told. */
  readonly destination: SocketAddress | undefined
  readonly tlvs: readonly Tlv[]
  /** The SPP header that replies have to carry; otherwise of no length. */
  readonly replyHeader: Buffer
}

export interface Told {
  readonly kind: 'told'
  readonly source: FlowSource
  /** For the target, after `kept`; may be of no length. `undefined`: the datagram was nothing but a header. */
  readonly payload: Buffer | undefined
  /** Payloads of the flow that came before, and waited. */
  readonly kept: readonly Buffer[]
  /** For the sender, once the flow is there. Where the flow is refused it is left out, and the receiver told to forget. */
  readonly answer: Buffer | undefined
  /** Key of a flow that has ended with this: the sender's port is another client's, or several clients', now. */
  readonly ended: string | undefined
}

export interface Dropped {
  readonly kind: 'dropped'
  readonly reason: 'header-invalid' | 'header-missing' | 'backlog'
  /** What was found, and what is allowed. */
  readonly detail: string
}

/** It waits for its header. */
export interface Waiting {
  readonly kind: 'kept'
  /** For the sender. */
  readonly answer: Buffer
}

export type Reading = Told | Dropped | Waiting

/** The datagram is nothing but what it says of its client where `payload` is `undefined`. */
export function told(
  source: FlowSource,
  payload: Buffer | undefined,
  kept = none,
  answer?: Buffer,
  ended?: string,
): Told {
  return { kind: 'told', source, payload, kept, answer, ended }
}

export function dropped(reason: Dropped['reason'], detail: string): Dropped {
  return { kind: 'dropped', reason, detail }
}

export function keyOf({ address, port }: SocketAddress): string {
  return `${address} ${port}`
}

export function isSame(a: SocketAddress, b: SocketAddress): boolean {
  return a.port === b.port && a.address === b.address
}

/** What a header says; of a LOCAL one, or one without addresses, the sender itself is the client. */
export function sourceOf(key: string, sender: SocketAddress, header: ProxyHeader | undefined): FlowSource {
  const client = header?.source ?? sender
  const tlvs = header === undefined ? [] : withoutFlow(header.tlvs)
  return { key, sender, client, destination: header?.destination, tlvs, replyHeader: bare }
}

/** The v2 header of a datagram that begins with the signature. */
export function headerOf(bytes: Buffer): ProxyHeader | Dropped {
  try {
    const header = parseProxyHeader(bytes, 'v2')
    if (header === undefined)
      return dropped('header-invalid', `a PROXY v2 header that does not end within its ${bytes.length} bytes`)
    if (header.transport === 'tcp')
      return dropped('header-invalid', 'a PROXY v2 header of transport STREAM at byte 13, allowed is DGRAM')
    return header
  } catch (error) {
    if (!(error instanceof ProxyHeaderError)) throw error
    return dropped('header-invalid', error.message)
  }
}
