import { formatHostPort, networkOf } from '../config/address.ts'
import type { PeerConfig } from '../config/config.ts'
import type { Log } from '../log.ts'
import type { Reason } from '../reason.ts'
import type { PeerStatus } from './status.ts'
import type { Device, DevicePeer } from './uapi-codec.ts'

/** Milliseconds after which a session is surely gone: REJECT_AFTER_TIME (180 s) and three tries of a handshake. */
const staleAfter = 195_000
/** Milliseconds in which any WireGuard peer answers data, with a keepalive if nothing else (KEEPALIVE_TIMEOUT is 10 s). */
const answerWithin = 15_000
/** Bytes of a handshake initiation: what is sent, at least, when somebody wants to send anything. */
const initiation = 148
/** Milliseconds that a new wireguard-go has for its first handshake where the last one had one. */
const grace = 10_000

interface Peer {
  config: PeerConfig
  /** The last sample of the running wireguard-go. */
  sample: DevicePeer | undefined
  /** Bytes counted before that by earlier ones, and before the peer was made again. */
  received: number
  sent: number
  /** Kept over restarts of wireguard-go. */
  lastHandshake: number | undefined
  /** When the last bytes were received, and what was sent by then, in this sample's count. */
  heardAt: number
  sentThen: number
  /** Until then a missing handshake is no trouble. */
  graceUntil: number
}

/** What the samples of the device, one a second, tell about each peer. */
export class Peers {
  #peers: readonly Peer[] = []
  readonly #log: Log
  readonly #now: () => number

  constructor(configs: readonly PeerConfig[], options: { readonly log: Log; readonly now: () => number }) {
    this.#log = options.log
    this.#now = options.now
    this.apply(configs)
  }

  /** Goes on with these peers: what is known of one that stays is kept. */
  apply(configs: readonly PeerConfig[]): void {
    const before = this.#peers
    this.#peers = configs.map(config => {
      const peer = before.find(peer => peer.config.publicKey === config.publicKey)
      return peer === undefined ? unknown(config) : Object.assign(peer, { config })
    })
  }

  /** A wireguard-go runs from now on that knows nothing of the last one's sessions. */
  restart(): void {
    for (const peer of this.#peers) {
      const wasFine = peer.lastHandshake !== undefined && this.#trouble(peer) === undefined
      peer.graceUntil = wasFine ? this.#now() + grace : 0
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

  #update(peer: Peer, sample: DevicePeer): void {
    const name = shortKey(peer.config.publicKey)
    const last = peer.sample
    if (sample.lastHandshake !== undefined && last?.lastHandshake === undefined)
      this.#log.info({ peer: name, endpoint: sample.endpoint }, 'handshake')
    if (last !== undefined && sample.endpoint !== last.endpoint)
      this.#log.debug({ peer: name, endpoint: sample.endpoint }, 'endpoint changed')
    // A peer that was made again counts from 0.
    if (
      last !== undefined &&
      (sample.sentBytes < last.sentBytes || sample.receivedBytes < last.receivedBytes)
    )
      forget(peer)
    if (sample.receivedBytes !== peer.sample?.receivedBytes) {
      peer.heardAt = this.#now()
      peer.sentThen = sample.sentBytes
    }
    peer.sample = sample
    peer.lastHandshake = sample.lastHandshake ?? peer.lastHandshake
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
    return this.#peers.map(({ config, sample, received, sent, lastHandshake }) => ({
      publicKey: config.publicKey,
      allowedIps: config.allowedIps.map(networkOf),
      configuredEndpoint: config.endpoint && formatHostPort(config.endpoint.host, config.endpoint.port),
      endpoint: sample?.endpoint,
      lastHandshake,
      receivedBytes: received + (sample?.receivedBytes ?? 0),
      sentBytes: sent + (sample?.sentBytes ?? 0),
      keepalive: config.keepalive,
    }))
  }

  #trouble(peer: Peer): Reason | undefined {
    const { config, sample } = peer
    const now = this.#now()
    const name = shortKey(config.publicKey)
    if (sample?.lastHandshake === undefined) {
      if (now < peer.graceUntil) return undefined
      const where =
        sample?.endpoint === undefined ? 'whose endpoint is not known yet' : `at ${sample.endpoint}`
      return {
        code: 'no-handshake',
        detail: `there was no handshake yet with peer ${name}, ${where}`,
        peer: config.publicKey,
      }
    }
    const age = now - sample.lastHandshake
    const silence = now - peer.heardAt
    if (age <= staleAfter || silence < answerWithin || sample.sentBytes - peer.sentThen < initiation)
      return undefined
    return {
      code: 'handshake-stale',
      detail: `peer ${name} at ${sample.endpoint} leaves what is sent to it unanswered; the last handshake is ${Math.round(age / 1000)} s old`,
      peer: config.publicKey,
    }
  }
}

/** The first 8 characters of a public key: how logs and metrics name a peer. */
export function shortKey(publicKey: string): string {
  return publicKey.slice(0, 8)
}

function unknown(config: PeerConfig): Peer {
  return {
    config,
    sample: undefined,
    received: 0,
    sent: 0,
    lastHandshake: undefined,
    heardAt: 0,
    sentThen: 0,
    graceUntil: 0,
  }
}

function forget(peer: Peer): void {
  peer.received += peer.sample?.receivedBytes ?? 0
  peer.sent += peer.sample?.sentBytes ?? 0
  peer.sample = undefined
}
