import type { TcpForwardConfig } from '../config/config.ts'
import type { Arrival } from '../link/acceptor.ts'
import type { ResetReason } from '../link/reset-reason.ts'
import { ProxyHeaderError, parseProxyHeader } from '../proxy/proxy-header.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import type { Share } from '../sockets/shares.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import { Client } from './client.ts'

/** The forward that a stream is for. */
interface Receiver {
  readonly config: TcpForwardConfig
  readonly descriptors: Descriptors
  readonly share: Share
  /** Whether a PROXY header from this address is believed. */
  trusts(address: string): boolean
}

/** Why a stream is refused, here and at the end that opened it. */
export interface ArrivalRefusal {
  readonly reason: RefusalReason & ResetReason
  readonly detail: string
}

/** The client that another end took and sent over a link, or why it cannot be one of this forward. */
export function clientOf(
  { localAddress, remoteAddress, port, header, peer }: Arrival,
  forward: Receiver,
): Client | ArrivalRefusal {
  const { config, descriptors, share } = forward
  const shortage = descriptors.shortage(1, share, peer)
  if (shortage !== undefined) return { reason: 'descriptor-limit', detail: shortage }
  if (config.acceptProxy === false)
    return { reason: 'proxy-not-accepted', detail: `forward ${config.name} has acceptProxy: false` }
  if (!forward.trusts(remoteAddress))
    return { reason: 'untrusted-source', detail: `${remoteAddress} is not in trustedProxies` }
  const client = new Client({ address: remoteAddress, port: 0 }, { address: localAddress, port })
  try {
    const parsed = parseProxyHeader(header, 'v2')
    if (parsed?.length !== header.length) throw new ProxyHeaderError('v2-too-short', 'not one whole header')
    client.learn(parsed)
  } catch (error) {
    if (!(error instanceof ProxyHeaderError)) throw error
    return { reason: 'header-invalid', detail: error.message }
  }
  return client
}
