import type { Log } from '../log.ts'
import { type Rung, rungs } from './ladder.ts'
import type { PathStatus } from './status.ts'

/** Milliseconds in which any WireGuard peer answers data, with a keepalive if nothing else (KEEPALIVE_TIMEOUT is 10 s). */
const answerWithin = 15_000
/** Milliseconds that a new wireguard-go has for its first handshake with a peer whose path was up. */
const sessionWithin = 15_000
/** Bytes sent within one sample that can be keepalives, of 32 bytes each, and nothing that has to be answered. */
const keepalives = 64
/** Probes that must go unanswered, one after the other, before silence means anything. */
const fewestTries = 3
const mostTries = 10
/** How likely it may be that a path which merely loses packets looks dead. */
const mistake = 0.002
/** The weight of the last probe in the loss, and in the round-trip time (RFC 6298 has an eighth, too). */
const lossWeight = 0.1
const rttWeight = 1 / 8

/**
 * Whether data crosses the tunnel to one peer.
 * `starting`: there was no handshake yet. `dead`: what is sent goes unanswered; `recovering`: and this was done last.
 */
export type PathState =
  | { readonly name: 'starting'; readonly since: number }
  | { readonly name: 'up'; readonly since: number }
  | { readonly name: 'mtu-black-hole'; readonly since: number }
  | { readonly name: 'dead'; readonly since: number }
  | { readonly name: 'recovering'; readonly since: number; readonly rung: Rung }

/** What a sample of the device tells of a peer since the last one. */
export interface PathSample {
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Whether the running wireguard-go has had a handshake with it. */
  readonly hasSession: boolean
}

/**
 * The truth about the path to one peer, from what is seen of it. Pure: somebody else samples and probes.
 *
 * What proves a path: bytes that arrive, an answered probe. (A link's ping will come first, and then call `answered`.)
 * What a dead one shows: data sent and nothing received for 15 s; or, from an address that has answered probes
 * before, none for several in a row. How many depends on the loss that was seen before: on a path that loses every
 * third packet three lost probes are nothing.
 */
export class Path {
  readonly #peer: string
  readonly #log: Log
  readonly #now: () => number
  #state: PathState
  #hasSession = false
  /** Until when there has to be a session. */
  #sessionBy = Number.POSITIVE_INFINITY
  /** When data was sent that is not answered yet. */
  #askedAt = Number.POSITIVE_INFINITY
  /** Whether this peer ever answered a probe: a firewall may drop them all. */
  #answers = false
  #unanswered = 0
  #rtt: number | undefined
  /** 0 to 1, without those of the last probes that are unanswered, and without what a dead path lost. */
  #loss = 0
  readonly #taken = Object.fromEntries(rungs.map(rung => [rung, 0])) as Record<Rung, number>
  #deaths = 0

  constructor(peer: string, options: { readonly log: Log; readonly now: () => number }) {
    this.#peer = peer
    this.#log = options.log
    this.#now = options.now
    this.#state = { name: 'starting', since: options.now() }
  }

  get state(): PathState {
    return this.#state
  }

  get isUp(): boolean {
    return this.#state.name === 'up' || this.#state.name === 'mtu-black-hole'
  }

  get isDead(): boolean {
    return this.#state.name === 'dead' || this.#state.name === 'recovering'
  }

  /** Whether the next probe has to come soon: the last one went unanswered, by a peer that can answer. */
  get isDoubted(): boolean {
    return this.#answers && this.#unanswered > 0
  }

  sampled({ receivedBytes, sentBytes, hasSession }: PathSample): void {
    this.#hasSession = hasSession
    if (receivedBytes > 0) {
      this.#askedAt = Number.POSITIVE_INFINITY
      if (hasSession) this.#prove()
    } else if (sentBytes > keepalives) this.#askedAt = Math.min(this.#askedAt, this.#now())
    this.#judge()
  }

  /** A wireguard-go runs that knows nothing of the last one's sessions. */
  restarted(): void {
    this.#forgetSession()
    if (this.isUp) this.#sessionBy = this.#now() + sessionWithin
  }

  /** The peer was made again, with which its session ended; the next handshake is on its way. */
  remade(): void {
    this.#forgetSession()
  }

  /** A probe was answered after `rtt` milliseconds. */
  answered(rtt: number): void {
    this.#rtt = this.#rtt === undefined ? rtt : this.#rtt + (rtt - this.#rtt) * rttWeight
    this.#hasSession = true
    this.#prove()
    this.#answers = true
    this.#loss *= 1 - lossWeight
  }

  /** A probe was not answered in time. */
  unanswered(): void {
    this.#unanswered++
    this.#judge()
  }

  /** Another address is asked from now on: what the last one answered says nothing of it. */
  askedElsewhere(): void {
    this.#answers = false
    this.#unanswered = 0
    this.#loss = 0
    this.#rtt = undefined
  }

  /** Full-size packets pass, or are lost while small ones pass. */
  fullSize(passes: boolean): void {
    if (this.#state.name === 'up' && !passes) this.#enter({ name: 'mtu-black-hole', since: this.#now() })
    else if (this.#state.name === 'mtu-black-hole' && passes) this.#enter({ name: 'up', since: this.#now() })
  }

  /** This rung is being taken. */
  recovering(rung: Rung): void {
    this.#taken[rung]++
    this.#enter({ name: 'recovering', since: this.#state.since, rung })
  }

  status(): PathStatus {
    const { name, since } = this.#state
    return {
      state: name,
      since,
      answersProbes: this.#answers,
      rtt: this.#rtt,
      loss: this.#answers ? this.#lossNow : undefined,
      rung: this.#state.name === 'recovering' ? this.#state.rung : undefined,
      deaths: this.#deaths,
      rungs: { ...this.#taken },
    }
  }

  #prove(): void {
    this.#askedAt = Number.POSITIVE_INFINITY
    this.#sessionBy = Number.POSITIVE_INFINITY
    if (this.#answers && !this.isDead) this.#loss = this.#lossNow
    this.#unanswered = 0
    if (!this.isUp) this.#enter({ name: 'up', since: this.#now() })
  }

  #judge(): void {
    if (this.isDead) return
    const now = this.#now()
    if (this.#state.name === 'starting' && this.#hasSession) this.#prove()
    const silent = this.#answers && this.#unanswered >= this.#triesThatCount
    if (silent || now - this.#askedAt >= answerWithin || (!this.#hasSession && now >= this.#sessionBy))
      this.#enter({ name: 'dead', since: now })
  }

  #forgetSession(): void {
    this.#hasSession = false
    this.#askedAt = Number.POSITIVE_INFINITY
  }

  get #triesThatCount(): number {
    if (this.#loss === 0) return fewestTries
    const tries = Math.ceil(Math.log(mistake) / Math.log(this.#loss))
    return Math.min(Math.max(tries, fewestTries), mostTries)
  }

  get #lossNow(): number {
    return 1 - (1 - this.#loss) * (1 - lossWeight) ** this.#unanswered
  }

  #enter(state: PathState): void {
    const from = this.#state
    this.#state = state
    if (state.name === 'dead') this.#deaths++
    const level = state.name === 'up' ? 'info' : 'warn'
    this.#log[level](
      { peer: this.#peer, from: from.name, to: state.name, ...('rung' in state && { rung: state.rung }) },
      'path changed',
    )
  }
}
