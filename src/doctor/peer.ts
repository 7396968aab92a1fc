import { createSocket } from 'node:dgram'
import { stat } from 'node:fs/promises'
import { familyOf, parseHostPorts } from '../address.ts'
import { type Dated, type EndStatus, shortKey } from '../admin/status.ts'
import type { Config } from '../config/config.ts'
import { systemCode } from '../errors.ts'
import { inTurn } from '../files/file-turns.ts'
import { formatSeconds } from '../text/amount.ts'
import type { PeerStatus, TunnelStatus } from '../tunnel/status.ts'
import { type Finding, failed, ok, unknown, warning } from './finding.ts'
import { nameFix, routeFix } from './host.ts'

type Tunnel = Dated<TunnelStatus>
type Peer = Dated<PeerStatus>

/** Milliseconds by which clocks may differ, and that a closed UDP port has for its ICMP. */
const clockSlack = 60_000
const icmpWait = 1000

/** Why the tunnel of a running end does not carry data, peer by peer. */
export async function tunnelFindings(status: EndStatus, config: Config | undefined): Promise<Finding[]> {
  const { tunnel } = status
  if (tunnel === undefined) return []
  const { state, restarts } = tunnel.process
  if (state !== 'running')
    return [
      failed(
        'wireguard-go',
        `it is ${state}, after ${restarts} restarts: ${detailOf(status, 'tunnel-process-down')}`,
        'Its own lines are in the log of this end, with the field wireguard; it is started again all the time',
      ),
    ]
  const clock = await clockFinding(tunnel, config)
  const peers = await Promise.all(tunnel.peers.map(peer => peerFinding(status, tunnel, peer)))
  return [ok('wireguard-go', `it runs, ${restarts} restarts`), ...deviceFinding(status), ...clock, ...peers]
}

/** What another program has done to the device, where that is not mended. */
function deviceFinding(status: EndStatus): Finding[] {
  const reason = status.health.reasons.find(({ code }) => code === 'device-changed')
  if (reason === undefined) return []
  return [
    failed(
      'device',
      reason.detail,
      "Tell this host's network manager to leave the interface alone; docs/gateway-docker.md says how",
    ),
  ]
}

/** WireGuard takes no handshake that is older than the last one it took: a clock that went back shuts an end out. */
async function clockFinding(
  { interface: name, peers }: Tunnel,
  config: Config | undefined,
): Promise<Finding[]> {
  const file = config?.tunnel && `${config.tunnel.stateDir}/${name}.endpoints.json`
  const written = file === undefined ? undefined : await inTurn(file, () => stat(file)).catch(() => undefined)
  const handshakes = peers.flatMap(({ lastHandshake }) =>
    lastHandshake === undefined ? [] : [Date.parse(lastHandshake)],
  )
  const newest = Math.max(...handshakes, written?.mtimeMs ?? 0)
  if (newest <= Date.now() + clockSlack) return []
  const [now, then] = [Date.now(), newest].map(time => new Date(time).toISOString())
  return [
    failed(
      'clock',
      `this host says ${now}, but was at ${then} already: its peers refuse a handshake that is older than the last one`,
      'Set the clock (`timedatectl set-ntp true`); where it has to stay back, restart the other end, which forgets the time',
    ),
  ]
}

async function peerFinding(status: EndStatus, tunnel: Tunnel, peer: Peer): Promise<Finding> {
  const step = `peer ${shortKey(peer.publicKey)}`
  const codes = new Map(
    status.health.reasons
      .filter(reason => reason.peer === peer.publicKey)
      .map(({ code, detail }) => [code, detail]),
  )
  const astray = codes.get('no-tunnel-route')
  if (astray !== undefined) {
    const shut = tunnel.device.shut.find(({ address }) => astray.includes(address))
    return failed(step, astray, routeFix(shut?.address ?? 'ADDRESS'))
  }
  const unresolved = codes.get('endpoint-unresolved')
  if (unresolved !== undefined) {
    const host = parseHostPorts(peer.configuredEndpoint ?? '')?.host ?? ''
    return failed(step, unresolved, nameFix(host))
  }
  const lossy = codes.get('mtu-black-hole')
  if (lossy !== undefined)
    return (peer.path.state === 'up' ? warning : failed)(
      step,
      lossy,
      'Set tunnel.mtu at both ends to what the path carries (a PPPoE line 1412, a tunnel in a tunnel 1280), and let ICMP through',
    )
  const oneWay = codes.get('one-way')
  if (oneWay !== undefined) return lostThere(step, tunnel, peer, oneWay)
  if (codes.has('no-handshake')) return noHandshake(step, tunnel, peer)
  const dead = codes.get('path-dead') ?? codes.get('handshake-stale')
  if (dead !== undefined) return lost(step, tunnel, peer, dead)
  const unrouted = codes.get('no-route-back')
  if (unrouted !== undefined)
    return failed(
      step,
      unrouted,
      `Set tunnel.probe.addresses: {"${peer.publicKey}": IP} to its own tunnel address, or make AllowedIPs narrower`,
    )
  return answering(step, peer)
}

/** Milliseconds in which a peer that answers probes has answered one, unless many are lost. */
const lately = 15_000
/** Milliseconds from one answer to the next, by default. */
const usual = 6000

/** A path that is up: what is known of it, and since when. */
function answering(step: string, { path }: Peer): Finding {
  const { rtt, loss = 0, answersProbes, lastAnswer } = path
  const age = lastAnswer === undefined ? Number.POSITIVE_INFINITY : Date.now() - Date.parse(lastAnswer)
  const last =
    lastAnswer === undefined ? 'it has answered nothing yet' : `its last answer is ${ago(lastAnswer)} old`
  if (age > lately && answersProbes) return unknown(step, `${last}; whether data passes now is not known yet`)
  if (age > lately) return ok(step, `nothing speaks against it: it answers no probes, and ${last}`)
  const facts = [
    'data passes',
    age > usual && last,
    rtt !== undefined && `round trip ${rtt.toFixed(1)} ms`,
    !answersProbes && 'it answers no probes',
    loss >= 0.05 && `${Math.round(loss * 100)} % of the latest probes were lost`,
  ]
  return ok(step, facts.filter(fact => fact !== false).join(', '))
}

const keysFit = (tunnel: Tunnel, peer: Peer) =>
  `the keys still fit (there PublicKey = ${tunnel.publicKey}, here PublicKey = ${peer.publicKey}, and at both the same PresharedKey or none)`

/** The way there is lost. The way back works, so the cause is to be looked for at the other end. */
function lostThere(step: string, tunnel: Tunnel, peer: Peer, detail: string): Finding {
  const port = parseHostPorts(peer.endpoint ?? '')?.first ?? ''
  return failed(
    step,
    detail,
    `At the other end, let UDP ${port} in: its firewall (iptables -L INPUT, nft list ruleset), its security group, what stands between. If handshakes arrive and none is completed, see that ${keysFit(tunnel, peer)}`,
  )
}

/** Nothing answers, and nothing arrives. */
async function lost(step: string, tunnel: Tunnel, peer: Peer, detail: string): Promise<Finding> {
  const { endpoint, configuredEndpoint } = peer
  // One that comes by itself may have another port by now.
  if (endpoint !== undefined && configuredEndpoint !== undefined && (await isClosedUdp(endpoint)))
    return nobodyThere(step, endpoint)
  const keys =
    peer.lastHandshake === undefined
      ? ''
      : ` (the keys fitted ${ago(peer.lastHandshake)} ago; that they do now is not known)`
  return failed(
    step,
    `no answer: ${detail}${keys}`,
    `See that the other end runs; that nothing drops UDP, at its host, at this one (port ${tunnel.listenPort ?? '-'}) or between; that ${keysFit(tunnel, peer)}; and that its AllowedIPs for this end contain ${tunnel.addresses.join(', ')}`,
  )
}

function ago(time: string): string {
  return formatSeconds((Date.now() - Date.parse(time)) / 1000)
}

/** A stranger's packet is never answered, so key and firewall look alike from here: both are named. */
async function noHandshake(step: string, tunnel: Tunnel, peer: Peer): Promise<Finding> {
  const keys = `The other end must have [Peer] PublicKey = ${tunnel.publicKey}, and its own public key must be ${peer.publicKey}`
  const endpoint = peer.endpoint ?? peer.configuredEndpoint
  if (endpoint === undefined)
    return failed(
      step,
      'it has never called: nothing with its key has arrived since this end runs, and there is no Endpoint to call it at',
      `Set its Endpoint to this host's public address and port ${tunnel.listenPort ?? 'ListenPort'}; let UDP ${tunnel.listenPort ?? ''} in (firewall, security group, -p ${tunnel.listenPort}:${tunnel.listenPort}/udp). ${keys}`,
    )
  if (await isClosedUdp(endpoint)) return nobodyThere(step, endpoint)
  if (peer.sentBytes === 0)
    return failed(
      step,
      `${endpoint} has not been called yet, and has not called`,
      'Wait a moment; see the log of this end',
    )
  return failed(
    step,
    `${endpoint} is called, and does not answer: a firewall, the wrong address, or keys that do not fit`,
    `${keys}, and the same PresharedKey or none; let UDP in there (firewall, security group, port mapping)`,
  )
}

function nobodyThere(step: string, endpoint: string): Finding {
  return failed(
    step,
    `nothing listens on UDP ${endpoint}: its host refuses the packets`,
    `Start the other end, or correct the port: Endpoint here, ListenPort there`,
  )
}

/** Whether an ICMP says that the port is closed. WireGuard itself never answers this. */
function isClosedUdp(endpoint: string): Promise<boolean> {
  const parsed = parseHostPorts(endpoint)
  if (parsed === undefined || familyOf(parsed.host) === 0) return Promise.resolve(false)
  return new Promise(resolve => {
    const socket = createSocket(familyOf(parsed.host) === 6 ? 'udp6' : 'udp4')
    const timer = setTimeout(() => settle(false), icmpWait)
    const settle = (isClosed: boolean) => {
      clearTimeout(timer)
      socket.close()
      resolve(isClosed)
    }
    socket.on('error', error => settle(systemCode(error) === 'ECONNREFUSED'))
    // With a callback Node gives a failure to it, as its argument, and emits no `error`: there may be no route.
    socket.connect(parsed.first, parsed.host, (error?: Error) => {
      if (error === undefined) socket.send(Buffer.alloc(1))
      else settle(false)
    })
  })
}

function detailOf({ health }: EndStatus, code: string): string {
  return health.reasons.find(reason => reason.code === code)?.detail ?? 'no reason is known'
}
