import type { Log } from '../log/log.ts'
import { type Rung, rungs } from './ladder.ts'
import { ProbeRecord } from './probe-record.ts'
import type { PathState, PathStatus } from './status.ts'

/** Milliseconds in which any WireGuard peer sends something back for data, a keepalive if nothing else (KEEPALIVE_TIMEOUT is 10 s). */
const answerWithin = 15_000
/** Milliseconds that a handshake has, with three tries (REKEY_TIMEOUT is 5 s), where one has to come. */
const sessionWithin = 15_000
/** Milliseconds after which a session that was not renewed is over (REJECT_AFTER_TIME). */
const sessionLife = 180_000
/** Milliseconds without an answer while things arrive, after which it is no longer a few lost packets or a long queue. */
const oneWayAfter = 10_000
/**
 * What arrives and is followed by no answer, in milliseconds: two things so far apart, and so long after the first. Tries of
 * a handshake are 5 s apart (REKEY_TIMEOUT), and the second one has time for its answer.
 */
const inVain = { apart: 4000, after: 7000 }
/** Milliseconds in which a peer that still sends is heard: it gives up a handshake after 90 s (REKEY_ATTEMPT_TIME). */
const heardWithin = 90_000
/** Bytes sent within one sample that can be keepalives, of 32 bytes each, and nothing that has to be answered. */
const keepalives = 64
/** Bytes within one sample that are more than pings and a probe of a usual MTU, and milliseconds for which a path is busy then. */
const busy = { bytes: 6000, lasts: 5000 }

/** What a sample of the device tells of a peer since the last one. */
export interface PathSample {
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Of the running wireguard-go, on the clock of `now`; `undefined`: it has had none. */
  readonly lastHandshake: number | undefined
}

/**
 * The truth about the path to one peer, from what is seen of it. Pure: somebody else samples and probes.
 *
 * Only an answer proves a path, because it takes both directions: an answered probe, the pong of a link, a handshake
 * that was completed (the end that is called counts one with the first packet under the new key), a connection that the
 * peer has opened. Bytes that arrive prove one direction.
 *
 * A path is lost when
 * - data was sent and nothing at all arrives for 15 s: every peer sends something back;
 * - an address that has answered probes before leaves several in a row unanswered, and nothing else arrives, or for 10 s
 *   whatever arrives. How many depends on the loss that was seen before: on a path that loses every third packet three
 *   lost probes are nothing;
 * - a link's ping is unanswered for 15 s, and there was no other answer since it was sent;
 * - a handshake is due and does not come: the session is over after 180 s, and data is sent.
 * The last two judge a peer whose firewall drops probes. What arrives meanwhile makes the difference between `one-way`
 * and `dead`.
 */
export class Path {
  readonly #peer: string
  readonly #log: Log
  readonly #now: () => number
  #state: PathState
  #lastHandshake: number | undefined
  /** Until when there has to be a handshake. */
  #sessionBy = Number.POSITIVE_INFINITY
  /** When data was sent since which nothing has arrived. */
  #askedAt = Number.POSITIVE_INFINITY
  #receivedAt = Number.NEGATIVE_INFINITY
  /** Since when things arrive from a peer that answers nothing. */
  #arrivingSince = Number.POSITIVE_INFINITY
  #answeredAt: number | undefined
  #probes = new ProbeRecord()
  #busyAt = Number.NEGATIVE_INFINITY
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

  /** What is sent goes unanswered. */
  get isDead(): boolean {
    const { name } = this.#state
    return name === 'dead' || name === 'recovering' || name === 'one-way'
  }

  /** Whether the next probe has to come soon: the last one went unanswered, by a peer that can answer. */
  get isDoubted(): boolean {
    return this.#probes.answers && this.#probes.unanswered > 0
  }

  /**
   * Whether a link's ping tells, until then, what a probe every `interval` milliseconds would: it was sent no longer before,
   * nothing is in doubt, and little has passed meanwhile. Whether full-size packets pass no ping can tell.
   */
  isConfirmed(until: number, interval: number): boolean {
    const isSound = this.#state.name === 'up' && !this.isDoubted
    const isQuiet = this.#now() - this.#busyAt >= Math.max(busy.lasts, interval)
    return isSound && isQuiet && until <= this.#probes.confirmedAt + interval
  }

  sampled({ receivedBytes, sentBytes, lastHandshake }: PathSample): void {
    const now = this.#now()
    if (Math.max(receivedBytes, sentBytes) > busy.bytes) this.#busyAt = now
    const asked = sentBytes > keepalives
    if (receivedBytes > 0) {
      this.#receivedAt = now
      if (!this.isUp) this.#arrivingSince = Math.min(this.#arrivingSince, now)
      this.#askedAt = Number.POSITIVE_INFINITY
      this.#probes.unheard = 0
    } else if (asked) this.#askedAt = Math.min(this.#askedAt, now)
    const isOver = lastHandshake !== undefined && now - lastHandshake >= sessionLife
    if (lastHandshake !== this.#lastHandshake) {
      this.#lastHandshake = lastHandshake
      if (lastHandshake !== undefined && !isOver) this.proved()
    } else if (isOver && asked) this.#sessionBy = Math.min(this.#sessionBy, now + sessionWithin)
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

  /** A probe was answered after `rtt` milliseconds; without a number after it was given up. */
  answered(rtt?: number): void {
    this.proved()
    this.#probes.answered(rtt)
  }

  /** A link's ping was answered after so many milliseconds. */
  pinged(roundTrip: number): void {
    this.proved()
    this.#probes.pinged(roundTrip, this.#now())
  }

  /** A probe was not answered in time. */
  unanswered(): void {
    this.#probes.left(this.#now())
    this.#judge()
  }

  /** Something was answered. */
  proved(): void {
    this.#answeredAt = this.#now()
    this.#askedAt = Number.POSITIVE_INFINITY
    this.#sessionBy = Number.POSITIVE_INFINITY
    this.#arrivingSince = Number.POSITIVE_INFINITY
    this.#probes.proved(this.isDead)
    if (!this.isUp) this.#enter({ name: 'up', since: this.#answeredAt })
  }

  /** A link's ping that was sent at this time has been unanswered for long. */
  leftPing(sentAt: number): void {
    if (this.isUp && (this.#answeredAt ?? Number.NEGATIVE_INFINITY) < sentAt) this.#lose()
  }

  /** Another address is asked from now on: what the last one answered says nothing of it. */
  askedElsewhere(): void {
    this.#probes = new ProbeRecord()
  }

  /** Full-size packets pass, or are lost while small ones pass. */
  fullSize(passes: boolean): void {
    if (this.#state.name === 'up' && !passes) this.#enter({ name: 'mtu-black-hole', since: this.#now() })
    else if (this.#state.name === 'mtu-black-hole' && passes) this.#enter({ name: 'up', since: this.#now() })
  }

  /** This rung is being taken. */
  recovering(rung: Rung): void {
    this.#taken[rung]++
    const { name, since } = this.#state
    this.#enter({ name: name === 'one-way' ? name : 'recovering', since, rung })
  }

  /** Things arrive from a peer that answers nothing: its endpoint is known. */
  get isArriving(): boolean {
    return Number.isFinite(this.#arrivingSince)
  }

  status(): PathStatus {
    const { name, since } = this.#state
    return {
      state: name,
      since,
      lastAnswer: this.#answeredAt,
      answersProbes: this.#probes.answers,
      rtt: this.isUp ? this.#probes.rtt : undefined,
      loss: this.#probes.loss,
      rung: 'rung' in this.#state ? this.#state.rung : undefined,
      deaths: this.#deaths,
      rungs: { ...this.#taken },
    }
  }

  #judge(): void {
    const now = this.#now()
    if (now - this.#receivedAt >= heardWithin) this.#arrivingSince = Number.POSITIVE_INFINITY
    const { name, since } = this.#state
    if (name === 'one-way') {
      if (!this.isArriving) this.#enter({ name: 'dead', since })
    } else if (
      this.#receivedAt - this.#arrivingSince >= inVain.apart &&
      now - this.#arrivingSince >= inVain.after
    ) {
      this.#enter({ name: 'one-way', since: this.isDead ? since : now })
    } else if (!this.isDead) {
      const { tries, unheard, unanswered, unansweredSince } = this.#probes
      const isSilent = unheard >= tries || now - this.#askedAt >= answerWithin
      const isUnanswered = unanswered >= tries && now - unansweredSince >= oneWayAfter
      if (isSilent) this.#enter({ name: 'dead', since: now })
      else if (isUnanswered || now >= this.#sessionBy) this.#lose()
    }
  }

  #forgetSession(): void {
    this.#lastHandshake = undefined
    this.#askedAt = Number.POSITIVE_INFINITY
  }

  /** What the peer sends still arrives, or not. */
  #lose(): void {
    const now = this.#now()
    this.#enter({ name: now - this.#receivedAt < answerWithin ? 'one-way' : 'dead', since: now })
  }

  #enter(state: PathState): void {
    const from = this.#state
    const wasDead = this.isDead
    this.#state = state
    if (this.isDead && !wasDead) this.#deaths++
    // What arrives in `one-way` was heard before it.
    if (state.name === 'one-way') this.#arrivingSince = Math.min(this.#arrivingSince, state.since)
    const level = state.name === 'up' ? 'info' : 'warn'
    this.#log[level](
      { peer: this.#peer, from: from.name, to: state.name, ...('rung' in state && { rung: state.rung }) },
      'path changed',
    )
  }
}
