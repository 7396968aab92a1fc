import type { PeerConfig, TunnelConfig } from '../config/config.ts'

/** WireGuard's configuration protocol as text (https://www.wireguard.com/xplatform/). Pure. Keys are base64 on our side, hex on its. */

/** What `get` tells, secrets left out. */
export interface Device {
  /** `undefined`: no UDP socket is open. */
  readonly listenPort: number | undefined
  /** 0: none. */
  readonly fwMark: number
  readonly peers: readonly DevicePeer[]
}

export interface DevicePeer {
  readonly publicKey: string
  /** `ip:port`, `[ip]:port`. */
  readonly endpoint: string | undefined
  /** Milliseconds since the epoch; `undefined`: never. */
  readonly lastHandshake: number | undefined
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Seconds; 0 is off. */
  readonly keepalive: number
  readonly allowedIps: readonly string[]
}

/** Where packets to this peer shall go, as far as it is known. */
export type EndpointOf = (peer: PeerConfig) => string | undefined

export function toHex(base64: string): string {
  return Buffer.from(base64, 'base64').toString('hex')
}

function toBase64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64')
}

/** Reads an answer to `get`. `private_key` and `preshared_key` are dropped here: nothing behind this ever sees them. */
export function parseDevice(answer: string): Device {
  let listenPort: number | undefined
  let fwMark = 0
  const peers: { -readonly [K in keyof DevicePeer]: DevicePeer[K] }[] = []
  const allowedIps: string[][] = []
  for (const [key, value] of linesOf(answer)) {
    const peer = peers.at(-1)
    if (key === 'public_key') {
      const prefixes: string[] = []
      allowedIps.push(prefixes)
      peers.push({
        publicKey: toBase64(value),
        endpoint: undefined,
        lastHandshake: undefined,
        receivedBytes: 0,
        sentBytes: 0,
        keepalive: 0,
        allowedIps: prefixes,
      })
    } else if (key === 'listen_port') listenPort = Number(value)
    else if (key === 'fwmark') fwMark = Number(value)
    else if (peer === undefined) continue
    else if (key === 'endpoint') peer.endpoint = value
    else if (key === 'last_handshake_time_sec' && value !== '0') peer.lastHandshake = Number(value) * 1000
    else if (key === 'last_handshake_time_nsec' && peer.lastHandshake !== undefined)
      peer.lastHandshake += Math.floor(Number(value) / 1e6)
    else if (key === 'rx_bytes') peer.receivedBytes = Number(value)
    else if (key === 'tx_bytes') peer.sentBytes = Number(value)
    else if (key === 'persistent_keepalive_interval') peer.keepalive = Number(value)
    else if (key === 'allowed_ip') allowedIps.at(-1)?.push(value)
  }
  return { listenPort, fwMark, peers }
}

/** Whether an answer to `get` is of a device with this private key (base64). */
export function holdsPrivateKey(answer: string, privateKey: string): boolean {
  return answer.startsWith(`private_key=${toHex(privateKey)}\n`)
}

/**
 * The lines of a `set` that turn `device` into what `config` says, its sessions kept where the peer stays.
 * Not among them is `listen_port`: each such line binds the socket anew, and its refusal needs a name of its own.
 */
export function configurationLines(device: Device, config: TunnelConfig, endpointOf: EndpointOf): string[] {
  const wanted = new Set(config.peers.map(peer => peer.publicKey))
  const fwMark = config.fwMark ?? 0
  return [
    `private_key=${toHex(config.privateKey)}`,
    ...(device.fwMark === fwMark ? [] : [`fwmark=${fwMark}`]),
    ...device.peers
      .filter(peer => !wanted.has(peer.publicKey))
      .flatMap(peer => [`public_key=${toHex(peer.publicKey)}`, 'remove=true']),
    ...config.peers.flatMap(peer => {
      const present = device.peers.find(({ publicKey }) => publicKey === peer.publicKey)
      // Where a peer without a configured endpoint is now, wireguard-go knows better than any memory.
      const roaming = peer.endpoint === undefined && present?.endpoint !== undefined
      return peerLines(peer, roaming ? undefined : endpointOf(peer))
    }),
  ]
}

/**
 * The lines of the smallest `set` from one config to the next, without `listen_port` too: a peer that does not change
 * is not named, and keeps its session. One with another endpoint is made again, as soon as that has an address.
 */
export function changeLines(from: TunnelConfig, to: TunnelConfig, endpointOf: EndpointOf): string[] {
  const wanted = new Set(to.peers.map(peer => peer.publicKey))
  const newKey = from.privateKey !== to.privateKey
  return [
    ...(newKey ? [`private_key=${toHex(to.privateKey)}`] : []),
    ...((from.fwMark ?? 0) === (to.fwMark ?? 0) ? [] : [`fwmark=${to.fwMark ?? 0}`]),
    ...from.peers
      .filter(peer => !wanted.has(peer.publicKey))
      .flatMap(peer => [`public_key=${toHex(peer.publicKey)}`, 'remove=true']),
    ...to.peers.flatMap(peer => {
      const before = from.peers.find(({ publicKey }) => publicKey === peer.publicKey)
      const endpoint = endpointOf(peer)
      if (before === undefined) return peerLines(peer, endpoint)
      // No session outlives our own key.
      if (newKey || (endpoint !== undefined && movesTo(before, peer))) return recreateLines(peer, endpoint)
      return updateLines(before, peer)
    }),
  ]
}

/** Whether the config names another place for this peer than it did. */
function movesTo(before: PeerConfig, { endpoint }: PeerConfig): boolean {
  if (endpoint === undefined) return false
  return endpoint.host !== before.endpoint?.host || endpoint.port !== before.endpoint.port
}

/**
 * Removes the peer and makes it again: at once it starts a handshake, which a changed `endpoint` alone would leave
 * to the next timer. Its session, if there is one, ends.
 */
export function recreateLines(peer: PeerConfig, endpoint: string | undefined): string[] {
  return [`public_key=${toHex(peer.publicKey)}`, 'remove=true', ...peerLines(peer, endpoint)]
}

/** Changes where packets to a peer go; its session stays. */
export function endpointLines(peer: PeerConfig, endpoint: string): string[] {
  return [`public_key=${toHex(peer.publicKey)}`, 'update_only=true', `endpoint=${endpoint}`]
}

/** The endpoint comes before the keepalive, whose first packet is sent as soon as the operation ends. */
function peerLines(peer: PeerConfig, endpoint: string | undefined): string[] {
  return [
    `public_key=${toHex(peer.publicKey)}`,
    presharedKeyLine(peer),
    ...(endpoint === undefined ? [] : [`endpoint=${endpoint}`]),
    ...allowedIpLines(peer),
    // Turning the keepalive on sends one at once, and with it a handshake. A peer that only sends data would else take
    // 15 s to notice that this wireguard-go is a new one, which has lost the session.
    ...(endpoint === undefined || peer.keepalive !== 0
      ? []
      : [keepaliveLine({ keepalive: 1 }), `public_key=${toHex(peer.publicKey)}`]),
    keepaliveLine(peer),
  ]
}

function updateLines(before: PeerConfig, peer: PeerConfig): string[] {
  const changed = <T>(lines: (peer: PeerConfig) => T[]) =>
    lines(before).join() === lines(peer).join() ? [] : lines(peer)
  const lines = [
    ...changed(peer => [presharedKeyLine(peer)]),
    ...changed(allowedIpLines),
    ...changed(peer => [keepaliveLine(peer)]),
  ]
  return lines.length === 0 ? [] : [`public_key=${toHex(peer.publicKey)}`, 'update_only=true', ...lines]
}

function presharedKeyLine({ presharedKey }: PeerConfig): string {
  return `preshared_key=${presharedKey === undefined ? '0'.repeat(64) : toHex(presharedKey)}`
}

function allowedIpLines({ allowedIps }: PeerConfig): string[] {
  return [
    'replace_allowed_ips=true',
    ...allowedIps.map(({ address, bits }) => `allowed_ip=${address}/${bits}`),
  ]
}

function keepaliveLine({ keepalive }: Pick<PeerConfig, 'keepalive'>): string {
  return `persistent_keepalive_interval=${keepalive}`
}

function linesOf(answer: string): [key: string, value: string][] {
  return answer
    .split('\n')
    .filter(line => line.includes('='))
    .map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])
}
