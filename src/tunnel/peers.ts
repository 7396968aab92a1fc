import { type Cidr, covers, formatHostPort, networkOf } from '../config/address.ts'
import type { PeerConfig } from '../config/config.ts'
import type { Log } from '../log.ts'
import type { Reason } from '../reason.ts'
import { Path } from './path.ts'
import type { PeerStatus } from './status.ts'
import type { Device, DevicePeer } from './uapi-codec.ts'

/** Milliseconds after which a session is surely gone: REJECT_AFTER_TIME (180 s) and three tries of a handshake. */
const staleAfter = 195_000

export interface Peer {
  config: PeerConfig
  readonly path: Path
  /** Where its last connection came from, of a peer whose config tells no address of its own. */
  source: string | undefined
  /** The last sample of the running wireguard-go. */
  sample: DevicePeer | undefined
  /** Bytes counted before that by earlier ones, and before the peer was made again. */
  received: number
  sent: number
  /** Kept over restarts of wireguard-go. */
  lastHandshake: number | undefined
}

/** The peers, and what the samples of the device, one a second, tell about each. */
export class Peers implements Iterable<Peer> {
  #peers: readonly Peer[] = []
  readonly #log: Log
  readonly #now: () => number

  constructor(configs: readonly PeerConfig[], options: { readonly log: Log; readonly now: () => number }) {
    this.#log = options.log
    this.#now = options.now
    this.apply(configs)
  }

  [Symbol.iterator](): Iterator<Peer> {
    return this.#peers[Symbol.iterator]()
  }

  /** Goes on with these peers: what is known of one that stays is kept. */
  apply(configs: readonly PeerConfig[]): void {
    const before = this.#peers
    this.#peers = configs.map(config => {
      const peer = before.find(peer => peer.config.publicKey === config.publicKey)
      return peer === undefined ? this.#unknown(config) : Object.assign(peer, { config })
    })
    for (const peer of this.#peers)
      if (peer.source !== undefined && this.#senderOf(peer.source) !== peer) peer.source = undefined
  }

  /** A wireguard-go runs from now on that knows nothing of the last one's sessions. */
  restart(): void {
    for (const peer of this.#peers) {
      peer.path.restarted()
      forget(peer)
    }
  }

  /** Takes in a sample of the device. */
  update(device: Device): void {
    for (const peer of this.#peers) {
      const sample = device.peers.find(({ publicKey }) => publicKey === peer.config.publicKey)
      if (sample !== undefined) this.#update(peer, sample)
    }
  }

  /** Whose packets come from this address: WireGuard goes by the longest prefix. */
  #senderOf(source: string): Peer | undefined {
    const bitsOf = ({ config }: Peer) =>
      Math.max(-1, ...config.trusted.filter(prefix => covers(prefix, source)).map(({ bits }) => bits))
    return this.#peers.filter(peer => bitsOf(peer) >= 0).toSorted((a, b) => bitsOf(b) - bitsOf(a))[0]
  }

  #update(peer: Peer, sample: DevicePeer): void {
    const name = shortKey(peer.config.publicKey)
    if (sample.lastHandshake !== undefined && peer.sample?.lastHandshake === undefined)
      this.#log.info({ peer: name, endpoint: sample.endpoint }, 'handshake')
    if (peer.sample !== undefined && sample.endpoint !== peer.sample.endpoint)
      this.#log.debug({ peer: name, endpoint: sample.endpoint }, 'endpoint changed')
    // A peer that was made again counts from 0.
    if (
      peer.sample !== undefined &&
      (sample.sentBytes < peer.sample.sentBytes || sample.receivedBytes < peer.sample.receivedBytes)
    )
      forget(peer)
    const { sample: last } = peer
    peer.sample = sample
    peer.lastHandshake = sample.lastHandshake ?? peer.lastHandshake
    peer.path.sampled({
      receivedBytes: sample.receivedBytes - (last?.receivedBytes ?? 0),
      sentBytes: sample.sentBytes - (last?.sentBytes ?? 0),
      hasSession: sample.lastHandshake !== undefined,
    })
  }

  /** A connection came from this address, or from one of our own. Cheap: most configs tell where every peer is. */
  connectionFrom(source: string, own: readonly Cidr[]): void {
    if (this.#peers.every(({ config }) => config.address !== undefined)) return
    if (this.#peers.some(peer => peer.source === source) || own.some(({ address }) => address === source))
      return
    const sender = this.#senderOf(source)
    if (sender !== undefined && sender.config.address === undefined) sender.source = source
  }

  /** Whether the running wireguard-go has had a handshake with this peer. */
  hasSession(publicKey: string): boolean {
    const peer = this.#peers.find(({ config }) => config.publicKey === publicKey)
    return peer?.sample?.lastHandshake !== undefined
  }

  reasons(): Reason[] {
    return this.#peers.map(peer => this.#trouble(peer)).filter(reason => reason !== undefined)
  }

  status(): PeerStatus[] {
    return this.#peers.map(({ config, path, sample, received, sent, lastHandshake }) => ({
      publicKey: config.publicKey,
      allowedIps: config.allowedIps.map(networkOf),
      configuredEndpoint: config.endpoint && formatHostPort(config.endpoint.host, config.endpoint.port),
      endpoint: sample?.endpoint,
      lastHandshake,
      receivedBytes: received + (sample?.receivedBytes ?? 0),
      sentBytes: sent + (sample?.sentBytes ?? 0),
      keepalive: config.keepalive,
      path: path.status(),
    }))
  }

  #trouble({ config, path, sample, lastHandshake }: Peer): Reason | undefined {
    if (path.state.name === 'up') return undefined
    const peer = config.publicKey
    const name = shortKey(peer)
    const where = sample?.endpoint === undefined ? 'whose endpoint is not known yet' : `at ${sample.endpoint}`
    if (path.state.name === 'mtu-black-hole')
      return {
        code: 'mtu-black-hole',
        detail: `peer ${name} ${where} answers small packets, and full-size ones are lost`,
        peer,
      }
    if (lastHandshake === undefined)
      return { code: 'no-handshake', detail: `there was no handshake yet with peer ${name}, ${where}`, peer }
    const age = this.#now() - lastHandshake
    return {
      code: age > staleAfter ? 'handshake-stale' : 'path-dead',
      detail: `peer ${name} ${where} leaves what is sent to it unanswered; the last handshake is ${Math.round(age / 1000)} s old`,
      peer,
    }
  }

  #unknown(config: PeerConfig): Peer {
    const path = new Path(shortKey(config.publicKey), { log: this.#log, now: this.#now })
    return {
      config,
      path,
      source: undefined,
      sample: undefined,
      received: 0,
      sent: 0,
      lastHandshake: undefined,
    }
  }
}

/** The first 8 characters of a public key: how logs and metrics name a peer. */
export function shortKey(publicKey: string): string {
  return publicKey.slice(0, 8)
}

function forget(peer: Peer): void {
  peer.received += peer.sample?.receivedBytes ?? 0
  peer.sent += peer.sample?.sentBytes ?? 0
  peer.sample = undefined
}
