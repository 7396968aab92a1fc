import { type Cidr, formatHostPort, networkOf, unmap } from '../address.ts'
import { momentOf } from '../clock.ts'
import type { PeerConfig } from '../config/config.ts'
import { Covered } from '../config/covered.ts'
import type { Log } from '../log/log.ts'
import type { Reason } from '../reason.ts'
import { Path } from './path.ts'
import { forget, type Peer } from './peer.ts'
import type { PeerStatus } from './status.ts'
import type { Device, DevicePeer } from './uapi-codec.ts'

/** Milliseconds after which a session is surely gone: REJECT_AFTER_TIME (180 s) and three tries of a handshake. */
const staleAfter = 195_000

/** Told of what others see of the peers. Addresses are tunnel addresses. */
export interface Witness {
  /** A connection was accepted from there. */
  connectionFrom(address: string): void
  /** A link's ping was answered from there, after so many milliseconds. */
  answered(address: string, roundTrip: number): void
  /** A link's ping that was sent at this time, on performance.now()'s clock, has been left unanswered for long. */
  leftPing(address: string, sentAt: number): void
}

/** The peers, and what the samples of the device, one a second, tell about each. */
export class Peers implements Iterable<Peer>, Witness {
  #peers: readonly Peer[] = []
  #prefixes = new Covered<Cidr & { readonly peer: Peer }>([])
  readonly #log: Log
  readonly #now: () => number
  readonly #momentOf: (time: number) => number
  readonly #own: () => readonly Cidr[]

  constructor(
    configs: readonly PeerConfig[],
    options: {
      readonly log: Log
      readonly now: () => number
      /** The moment, as of `now`, of a time since the epoch. */
      readonly momentOf?: ((time: number) => number) | undefined
      /** Our tunnel addresses. */
      readonly own?: () => readonly Cidr[]
    },
  ) {
    this.#log = options.log
    this.#now = options.now
    this.#momentOf = options.momentOf ?? momentOf
    this.#own = options.own ?? (() => [])
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
    this.#prefixes = new Covered(
      this.#peers.flatMap(peer => peer.config.trusted.map(prefix => ({ ...prefix, peer }))),
    )
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
    const samples = new Map(device.peers.map(sample => [sample.publicKey, sample]))
    for (const peer of this.#peers) {
      const sample = samples.get(peer.config.publicKey)
      if (sample !== undefined) this.#update(peer, sample)
    }
  }

  /** Whose packets come from this address: WireGuard goes by the longest prefix. */
  #senderOf(source: string): Peer | undefined {
    return this.#prefixes.find(source)?.peer
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
    if (sample.lastHandshake !== last?.lastHandshake) this.#shaken(peer, sample)
    peer.sample = sample
    peer.sampledAt = this.#now()
    peer.path.sampled({
      receivedBytes: sample.receivedBytes - (last?.receivedBytes ?? 0),
      sentBytes: sample.sentBytes - (last?.sentBytes ?? 0),
      lastHandshake: sample.lastHandshake === undefined ? undefined : peer.handshakeAt,
    })
  }

  /**
   * wireguard-go dates a handshake by the wall clock, which may be set: a new one came after the sample before it, whatever
   * that clock says. With the first sample of an adopted wireguard-go there is nothing else to go by.
   */
  #shaken(peer: Peer, { lastHandshake }: DevicePeer): void {
    if (lastHandshake === undefined) return
    const earliest = peer.sample === undefined ? Number.NEGATIVE_INFINITY : peer.sampledAt
    peer.lastHandshake = lastHandshake
    peer.handshakeAt = Math.min(Math.max(this.#momentOf(lastHandshake), earliest), this.#now())
  }

  answered(address: string, roundTrip: number): void {
    this.#senderOf(address)?.path.pinged(roundTrip)
  }

  leftPing(address: string, sentAt: number): void {
    this.#senderOf(address)?.path.leftPing(sentAt)
  }

  /**
   * Our answer to its first packet has arrived there; and where its config tells no address, this is one to probe.
   * Cheap: most paths are in no doubt, and most configs tell where every peer is.
   */
  connectionFrom(address: string): void {
    const isDoubted = this.#peers.some(({ path }) => path.isDoubted || !path.isUp)
    if (!isDoubted && this.#peers.every(({ config }) => config.address !== undefined)) return
    const source = unmap(address)
    if (this.#own().some(({ address }) => address === source)) return
    if (isDoubted) this.#senderOf(source)?.path.proved()
    if (this.#peers.some(peer => peer.source === source)) return
    const sender = this.#senderOf(source)
    if (sender !== undefined && sender.config.address === undefined) sender.source = source
  }

  /** Whether the running wireguard-go has had a handshake with this peer. */
  hasSession(publicKey: string): boolean {
    const peer = this.#peers.find(({ config }) => config.publicKey === publicKey)
    return peer?.sample?.lastHandshake !== undefined
  }

  reasons(): Reason[] {
    const lost = this.#peers.filter(({ config }) => !config.mayBeRouted).map(unrouted)
    return [...this.#peers.map(peer => this.#trouble(peer)), ...lost].filter(reason => reason !== undefined)
  }

  status(): PeerStatus[] {
    return this.#peers.map(({ config, path, sample, received, sent, lastHandshake }) => ({
      publicKey: config.publicKey,
      allowedIps: config.allowedIps.map(networkOf),
      routes: config.trusted.map(networkOf),
      configuredEndpoint: config.endpoint && formatHostPort(config.endpoint.host, config.endpoint.port),
      endpoint: sample?.endpoint,
      lastHandshake,
      receivedBytes: received + (sample?.receivedBytes ?? 0),
      sentBytes: sent + (sample?.sentBytes ?? 0),
      keepalive: config.keepalive,
      path: path.status(),
    }))
  }

  #trouble({ config, path, sample, handshakeAt }: Peer): Reason | undefined {
    const peer = config.publicKey
    const name = shortKey(peer)
    const where = sample?.endpoint === undefined ? 'whose endpoint is not known yet' : `at ${sample.endpoint}`
    const ago = (time: number) => `${Math.round((this.#now() - time) / 1000)} s`
    const { state, lastAnswer } = path.status()
    if (state === 'up') return undefined
    if (state === 'mtu-black-hole')
      return {
        code: state,
        detail: `peer ${name} ${where} answers small packets, and full-size ones are lost`,
        peer,
      }
    if (state === 'one-way') {
      const since =
        lastAnswer === undefined ? 'it has never answered' : `its last answer is ${ago(lastAnswer)} old`
      return {
        code: state,
        detail: `what peer ${name} ${where} sends arrives, what is sent to it goes unanswered; ${since}`,
        peer,
      }
    }
    if (handshakeAt === undefined)
      return { code: 'no-handshake', detail: `there was no handshake yet with peer ${name}, ${where}`, peer }
    const seen =
      state === 'starting'
        ? 'has answered nothing since this end runs'
        : 'leaves what is sent to it unanswered, and nothing arrives from it'
    return {
      code: this.#now() - handshakeAt > staleAfter ? 'handshake-stale' : 'path-dead',
      detail: `peer ${name} ${where} ${seen}; the last handshake is ${ago(handshakeAt)} old`,
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
      sampledAt: Number.NEGATIVE_INFINITY,
      received: 0,
      sent: 0,
      lastHandshake: undefined,
      handshakeAt: undefined,
    }
  }
}

/** Its answers would leave by the default route. */
function unrouted({ config: { publicKey, allowedIps } }: Peer): Reason {
  const found = allowedIps.map(networkOf).join(', ') || 'missing'
  const detail = `no route leads back to peer ${shortKey(publicKey)}: its AllowedIPs are ${found}, which are not routed, and no Address of this end has a prefix; name the peer's own tunnel address: tunnel.probe.addresses: {"${publicKey}": IP}`
  return { code: 'no-route-back', detail, peer: publicKey }
}

/** The first 8 characters of a public key: how logs and metrics name a peer. */
export function shortKey(publicKey: string): string {
  return publicKey.slice(0, 8)
}
