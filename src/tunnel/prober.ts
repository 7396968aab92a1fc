import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { covers, familyOf, fromNumber, isLinkLocal, networkOf, parseCidr, toNumber } from '../address.ts'
import type { PeerConfig, TunnelConfig } from '../config/config.ts'
import type { Ways } from '../ways.ts'
import type { Path } from './path.ts'
import type { Peer } from './peer.ts'
import type { Peers } from './peers.ts'
import { type Aim, probeTcp, probeUdp } from './probe.ts'

/** Milliseconds between two tries while the answer is missing. */
const retry = 1000
/** How often, in a row, only the full size must be lost before the size is what is wrong. */
const fullSizeTries = 4
/** Milliseconds that each of these has for an answer, unless the path's round trip asks for more. */
const fullSizeTimeout = 500
/** Milliseconds that an answer may take, in doubt: behind a long queue it is late, and proves the path all the same. */
const lateAnswer = 10_000
/** Milliseconds in which a kernel is allowed another ICMP answer to the same address (net.ipv4.icmp_ratelimit). */
const icmpRest = 1100
/** Milliseconds between two calls of `tick`, less by how much they vary. */
const tickEvery = 950
/** Probes that a link's pings may stand in for, one after the other: only a probe tells of full-size packets. */
const stoodInFor = 5

/** How to ask; for tests. */
export interface Probes {
  readonly tcp?: typeof probeTcp
  readonly udp?: typeof probeUdp
  readonly rest?: () => Promise<unknown>
}

/** What a probe asks, and where the peer is. */
interface Question {
  readonly address: string
  readonly endpoint: string
  readonly mtu: number
  readonly interval: number
}

interface Turn {
  /** The last one. */
  asked: Question | undefined
  next: number
  /** From when on pings are not enough. */
  last: number
  busy: boolean
  /** Whether a late answer is waited for. */
  waiting: boolean
}

/** Asks every peer for a sign of life, again and again, and tells its path what came of it. */
export class Prober {
  readonly #config: () => TunnelConfig
  readonly #peers: Peers
  readonly #now: () => number
  readonly #ways: Pick<Ways, 'shut'>
  readonly #tcp: typeof probeTcp
  readonly #udp: typeof probeUdp
  readonly #rest: () => Promise<unknown>
  /** By path, which is the peer's as long as it stays in the config. */
  readonly #turns = new WeakMap<Path, Turn>()

  constructor(
    options: {
      /** The config as it is now; `mtu` is what the device has. */
      readonly config: () => TunnelConfig
      readonly peers: Peers
      readonly now: () => number
      /** Which addresses are reached through the tunnel. */
      readonly ways: Pick<Ways, 'shut'>
    } & Probes,
  ) {
    this.#config = options.config
    this.#peers = options.peers
    this.#now = options.now
    this.#ways = options.ways
    this.#tcp = options.tcp ?? probeTcp
    this.#udp = options.udp ?? probeUdp
    this.#rest = options.rest ?? (() => sleep(icmpRest, undefined, { ref: false }))
  }

  /** To be called about once a second: starts the probes whose time has come. */
  tick(): void {
    const { probe, mtu } = this.#config()
    if (probe === false) return
    const { interval } = probe
    for (const peer of this.#peers) {
      const { path, sample } = peer
      // Without an endpoint wireguard-go could only complain.
      const endpoint = sample?.endpoint
      const aim = endpoint === undefined ? undefined : this.#aim(peer)
      const turn = this.#turn(path)
      if (aim === undefined || turn.busy || this.#now() < turn.next) continue
      const question: Question = { address: aim.address, endpoint: endpoint!, mtu, interval }
      if (isDeepStrictEqual(question, turn.asked) && this.#isConfirmed(path, interval)) continue
      if (turn.asked !== undefined && turn.asked.address !== aim.address) path.askedElsewhere()
      Object.assign(turn, { asked: question, busy: true })
      const started = this.#now()
      turn.next = started + interval
      turn.last = turn.next + stoodInFor * interval
      void this.#probe(path, aim).finally(() => {
        turn.busy = false
        if (path.isDoubted) turn.next = Math.min(turn.next, started + retry)
      })
    }
  }

  /**
   * The peer is about to be made again, which begins a handshake: no probe for a second, or until `hurry` is called. A probe
   * could begin one just before. Its session would end with the old peer, and the other end drops a second handshake within
   * 20 ms (`HandshakeInitationRate` in wireguard-go's device/constants.go): the next one comes only after five seconds.
   */
  rest(path: Path): void {
    this.#turn(path).next = this.#now() + retry
  }

  /** Something was done about this path: the next tick asks. */
  hurry(path: Path): void {
    Object.assign(this.#turn(path), { next: 0, last: 0 })
  }

  /** Whether a link's ping stands in for the probe that is due, until the next tick. */
  #isConfirmed(path: Path, interval: number): boolean {
    const now = this.#now()
    return now < this.#turn(path).last && path.isConfirmed(now + tickEvery, interval)
  }

  async #probe(path: Path, aim: Aim): Promise<void> {
    // In doubt more go along: on a path that loses some, three are seldom lost together.
    const small = [this.#tcp(aim), ...(path.isDoubted ? [this.#tcp(aim), this.#udp(aim, 0)] : [])]
    const rtt = await firstAnswer(small)
    // Whoever answered, it was not the peer.
    if (this.#ways.shut(aim.address) !== undefined) return
    if (rtt === undefined) {
      path.unanswered()
      if (path.isDoubted) void this.#awaitLate(path, aim)
      return
    }
    path.answered(rtt)
    const passes = await this.#fullSize(aim, rtt)
    if (passes !== undefined) path.fullSize(passes)
  }

  async #awaitLate(path: Path, aim: Aim): Promise<void> {
    const turn = this.#turn(path)
    if (turn.waiting) return
    turn.waiting = true
    const rtt = await this.#tcp({ ...aim, timeout: lateAnswer, isIdle: true })
    turn.waiting = false
    const isPeers = rtt !== undefined && this.#ways.shut(aim.address) === undefined
    if (isPeers && path.isDoubted) path.answered()
  }

  /**
   * `undefined`: it does not tell, because small packets go unanswered, too.
   *
   * Each large datagram goes alone and after a rest: kernels ration the ICMP that answers it, and one that was rationed
   * away looks like one that was too large.
   */
  async #fullSize(aim: Aim, rtt: number): Promise<boolean | undefined> {
    const { mtu } = this.#config()
    if ((await this.#udp(aim, mtu)) !== undefined) return true
    // The small ones have no more time than the large: a slow answer is no evidence against the size.
    const quick = { ...aim, timeout: Math.min(aim.timeout, Math.max(fullSizeTimeout, 4 * rtt)) }
    for (let tries = 0; tries < fullSizeTries; tries++) {
      await this.#rest()
      if ((await this.#udp(quick, mtu)) !== undefined) return true
      const small = await Promise.all([this.#tcp(quick), this.#udp(quick, 0)])
      if (small.includes(undefined)) return undefined
    }
    return false
  }

  #aim({ config, source }: Peer): Aim | undefined {
    const { probe, addresses } = this.#config()
    const address = addressOf(config, addresses, source)
    const from = addresses.find(({ family }) => family === familyOf(address ?? ''))
    if (probe === false || address === undefined || from === undefined) return undefined
    if (this.#ways.shut(address) !== undefined) return undefined
    return { from: from.address, address, port: probe.port, timeout: probe.timeout }
  }

  #turn(path: Path): Turn {
    const turn = this.#turns.get(path) ?? {
      asked: undefined,
      next: 0,
      last: 0,
      busy: false,
      waiting: false,
    }
    this.#turns.set(path, turn)
    return turn
  }
}

/**
 * The peer's own tunnel address: as the config tells, else the source of its last connection, else the lowest host of
 * its prefixes that is not ours.
 */
export function addressOf(
  { address, trusted }: PeerConfig,
  own: TunnelConfig['addresses'],
  source?: string,
): string | undefined {
  if (address !== undefined || source !== undefined) return address ?? source
  for (const prefix of trusted) {
    const network = parseCidr(networkOf(prefix))!
    const isHost = network.bits === (network.family === 4 ? 32 : 128)
    const first = toNumber(network.address) + (isHost ? 0n : 1n)
    for (const number of [first, first + 1n]) {
      const host = fromNumber(number, network.family)
      const isUsable = covers(network, host) && !isLinkLocal(host)
      if (isUsable && !own.some(({ address }) => address === host)) return host
    }
  }
  return undefined
}

/** Of several probes the first answer; `undefined` when none has one. */
function firstAnswer(probes: readonly Promise<number | undefined>[]): Promise<number | undefined> {
  const answered = probes.map(async probe => (await probe) ?? Promise.reject())
  return Promise.any(answered).catch(() => undefined)
}
