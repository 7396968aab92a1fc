import type { PeerConfig } from '../config/config.ts'
import type { Path } from './path.ts'
import type { DevicePeer } from './uapi-codec.ts'

/** One peer, and what is known of it. */
export interface Peer {
  config: PeerConfig
  readonly path: Path
  /** Where its last connection came from, of a peer whose config tells no address of its own. */
  source: string | undefined
  /** The last sample of the running wireguard-go, and when it was taken. */
  sample: DevicePeer | undefined
  sampledAt: number
  /** Bytes counted before that by earlier ones, and before the peer was made again. */
  received: number
  sent: number
  /** Kept over restarts of wireguard-go; as that tells it, and as a moment. */
  lastHandshake: number | undefined
  handshakeAt: number | undefined
}

/** The counters start over: of another wireguard-go, or of a peer that was made again. */
export function forget(peer: Peer): void {
  peer.received += peer.sample?.receivedBytes ?? 0
  peer.sent += peer.sample?.sentBytes ?? 0
  peer.sample = undefined
}
