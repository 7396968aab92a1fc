import type { Cidr, HostPorts } from '../address.ts'
import type { LogLevel } from '../log/log.ts'

/** A config as the rest of the program sees it: files read, defaults filled in, durations in milliseconds. */
export interface Config {
  /** The path of the YAML file, for messages. */
  readonly file: string
  /** Without one the program only forwards. */
  readonly tunnel: TunnelConfig | undefined
  readonly forwards: readonly ForwardConfig[]
  /** `undefined`: every connection has its own through the tunnel. */
  readonly link: { readonly port: number } | undefined
  readonly admin: AdminConfig
  readonly readiness: { readonly backends: 'degraded' | 'unready' }
  /** Milliseconds after SIGTERM: how long new connections are still taken, and how long they all may finish. */
  readonly drainDelay: number
  readonly drainTimeout: number
  readonly log: { readonly level: LogLevel; readonly connections: boolean }
}

export interface AdminConfig {
  /** Empty: all addresses, both families. */
  readonly host: string
  readonly port: number
  readonly page: 'loopback' | 'all'
}

export interface TunnelConfig {
  readonly interface: string
  /** Where the peers' last endpoints are kept. */
  readonly stateDir: string
  /** Bytes, 576 to 65535. */
  readonly mtu: number
  /** A name as in /proc/sys/net/ipv4/tcp_available_congestion_control, or `kernel`: leave it alone. */
  readonly congestionControl: string
  /** Base64, as in wg0.conf. */
  readonly privateKey: string
  readonly publicKey: string
  /** `undefined`: the kernel picks one. */
  readonly listenPort: number | undefined
  readonly fwMark: number | undefined
  readonly table: 'auto' | 'off' | number
  readonly addresses: readonly Cidr[]
  /** Of these the device has to have as well, and nothing listens there: it would need a zone. */
  readonly linkLocal?: readonly Cidr[]
  readonly peers: readonly PeerConfig[]
  /** Literal targets of a peer's to which there is no route but one of the user's, if there is that. */
  readonly unroutedTargets?: readonly Cidr[]
  readonly probe: ProbeConfig | false
}

/** How the path to each peer is probed. */
export interface ProbeConfig {
  /** TCP and UDP; closed at the peer. */
  readonly port: number
  /** Milliseconds. */
  readonly interval: number
  readonly timeout: number
}

export interface PeerConfig {
  /** Base64. */
  readonly publicKey: string
  readonly presharedKey: string | undefined
  readonly allowedIps: readonly Cidr[]
  /** The part of allowedIps that is routed into the tunnel and may send PROXY headers: none shorter than /8 (IPv6 /32). */
  readonly trusted: readonly Cidr[]
  readonly endpoint: { readonly host: string; readonly port: number } | undefined
  /** Seconds; 0 is off. */
  readonly keepalive: number
  /** The peer's own tunnel address, where its config tells: probe.addresses, else its first /32 or /128. */
  readonly address: string | undefined
  /** Whether a route may lead back to it: one of ours, the kernel's to the prefix of an Address, or with `Table = off` somebody's. */
  readonly mayBeRouted: boolean
}

export type ForwardConfig = TcpForwardConfig | UdpForwardConfig

/** What a forward has whatever its protocol. */
export interface CommonForwardConfig {
  readonly name: string
  /** `host` is a literal, a name, `tunnel` (every tunnel address) or empty (all addresses). */
  readonly listen: HostPorts
  /** Without targets where there are routes alone. */
  readonly upstream: UpstreamConfig
  readonly routes: readonly RouteConfig[]
  /** Who may send a PROXY header. */
  readonly trustedProxies: readonly Cidr[]
  /** Bytes of a whole header of v2 that a target gets, at most. The header that crosses a link is not a target's. */
  readonly proxyHeaderLimit: number
  readonly limits: Limits
}

export interface TcpForwardConfig extends CommonForwardConfig {
  readonly protocol: 'tcp'
  /** Which header every connection must begin with; `any` is v1 or v2. */
  readonly acceptProxy: false | 'any' | 'v1' | 'v2'
  readonly sendProxy: false | 'v1' | 'v2'
  readonly timeouts: Timeouts
}

/** Without routes; its targets are never checked. */
export interface UdpForwardConfig extends CommonForwardConfig {
  readonly protocol: 'udp'
  /** How those who stand in front tell the client's address, and how the target is told. */
  readonly acceptProxy: false | UdpForm
  readonly sendProxy: false | UdpForm
  readonly timeouts: UdpTimeouts
}

/**
 * How datagrams carry the client's address: a PROXY v2 header before every one; before the first of a flow, and again after
 * a pause; in a datagram of its own that comes first, and again after a pause; Cloudflare's Simple Proxy Protocol.
 */
export const udpForms = ['v2-every', 'v2-first', 'v2-alone', 'spp'] as const
export type UdpForm = (typeof udpForms)[number]

/** Where connections go that ask for a TLS server name; all others go to the forward's own upstream. */
export interface RouteConfig {
  /** Lower case; `*.example.com` stands for all names below it. */
  readonly name: string
  readonly upstream: UpstreamConfig
}

/** Where connections go, and how one of several targets is chosen. */
export interface UpstreamConfig {
  /** In order. */
  readonly targets: readonly HostPorts[]
  readonly balance: Balance
  /** `passive`: only while a target is down, until it answers once. */
  readonly check: CheckConfig | 'passive' | false
}

/** The first that is up; each in turn; the one with the fewest open connections. */
export const balances = ['first', 'roundrobin', 'leastconn'] as const
export type Balance = (typeof balances)[number]

export interface CheckConfig {
  /** Milliseconds. */
  readonly interval: number
  /** Checks in a row that a target has to answer, or to fail, before it is up or down. */
  readonly rise: number
  readonly fall: number
}

/** Who is let in, by the client's real address, and how many connections or flows; what is not there is not limited. */
export interface Limits {
  readonly allow?: readonly Cidr[] | undefined
  readonly deny?: readonly Cidr[] | undefined
  readonly maxConnections?: number | undefined
  /** A client is an IPv4 address or an IPv6 /64. */
  readonly maxConnectionsPerClient?: number | undefined
  readonly newConnectionsPerSecond?: number | undefined
}

/** Milliseconds. */
export interface Timeouts {
  readonly connect: number
  readonly header: number
  /** 0: none. */
  readonly idle: number
  readonly halfClosed: number
}

/** Milliseconds. */
export interface UdpTimeouts {
  /** For how long nothing may come of a flow before it ends. */
  readonly udp: number
  /** With v2-first: after a pause of this length a receiver has forgotten who sent. */
  readonly proxyFirst: number
}
