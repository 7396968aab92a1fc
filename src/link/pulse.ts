import { beatEvery, onBeat } from './beat.ts'
import { frame, LinkError } from './frame.ts'
import { Pace } from './pace.ts'

/**
 * Milliseconds that the last ping may be old while there are streams, and when one is opened, which would wait in vain
 * otherwise.
 */
const pingEvery = beatEvery
const freshFor = 250
/**
 * The same for a link without streams: an end with fifty of them would do little else. The end that has dialled asks soon
 * enough to spare both ends the probe of the path, which is due after five seconds; the other one asks along with its answer,
 * and by itself only where nobody else does.
 */
const idlePingEvery = { dialled: 4000, accepted: 5000 }
/** Milliseconds by which a beat may come late. */
const lateness = 50
/**
 * From when on an unanswered ping makes a link doubtful, and dead; milliseconds. Doubtful takes new connections elsewhere
 * at once: after so many round trips, but not before a lost packet could come again. Dead cuts those that are open, so it
 * has to outlast the two minutes that TCP may wait between two tries (TCP_RTO_MAX) after a path was away. It is as long as
 * keepalive waits on any other connection.
 */
const doubtfulAfter = { roundTrips: 4, least: 500, most: 2500 }
const deadAfter = 300_000
/**
 * The same for a link that is being ended and whose streams are done: one whose far end was replaced, or has gone without a
 * word, would hold up the end of the program until nobody waits any more.
 */
const endsAfter = 2500
/** Milliseconds from which on an unanswered ping is told, with every beat: TCP has tried seven times by then. */
const toldAfter = 15_000
/** While there is bulk the path is measured more often. */
const paceEvery = 100
/** Pieces of data between two beats that make other streams busy. */
const busyParts = 4

/** Who is told what the pings of links show of the path to an address. */
export interface PingWitness {
  /** After so many milliseconds. */
  answered(address: string, roundTrip: number): void
  /** The ping of this time, on performance.now()'s clock, has been unanswered for long. */
  leftPing(address: string, sentAt: number): void
}

/** The link. */
export interface PulseOwner {
  readonly remoteAddress: string
  /** How many are open. */
  readonly streams: number
  send(stream: number, type: number): void
  close(why: string): void
}

/** Whether the far end of a link is there, and what the path holds. */
export class Pulse {
  readonly pace = new Pace()
  /** Pieces of data since the last beat, those of lanes not among them. */
  parts = 0
  readonly #owner: PulseOwner
  readonly #witness: PingWitness | undefined
  readonly #idlePingEvery: number
  #hasBulk = false
  #deadAfter = deadAfter
  #isQuick = false
  #stop = () => {}
  /** When the ping was sent that is not answered yet; on performance.now()'s clock. */
  #sentAt = 0
  #lastSentAt = Number.NEGATIVE_INFINITY

  /** @param isDialled whether this end has dialled the link. */
  constructor(owner: PulseOwner, witness: PingWitness | undefined, isDialled: boolean) {
    this.#owner = owner
    this.#witness = witness
    this.#idlePingEvery = idlePingEvery[isDialled ? 'dialled' : 'accepted']
    this.#start(false)
  }

  /** A ping is out for so long that new connections had better go another way. */
  get isDoubtful(): boolean {
    if (this.#sentAt === 0) return false
    const { roundTrips, least, most } = doubtfulAfter
    const patience = Math.max(roundTrips * (this.pace.roundTrip ?? most), least)
    return performance.now() - this.#sentAt > Math.min(patience, most)
  }

  set hasBulk(hasBulk: boolean) {
    if (hasBulk === this.#hasBulk) return
    this.#hasBulk = hasBulk
    // One that is being ended is asked as often as it is, whatever its streams do.
    if (this.#deadAfter !== endsAfter) this.#start(hasBulk)
  }

  /** The link is being ended: it waits for a word of the far end, but not for long. */
  ending(): void {
    this.#deadAfter = endsAfter
    this.#start(true)
  }

  /** A stream is opened: is the far end still there? */
  ask(): void {
    if (this.#sentAt > 0) return
    const now = performance.now()
    if (now - this.#lastSentAt > freshFor) this.#ping(now)
  }

  /** The far end asks. With the answer goes a ping of this end, if there was none of late: together they cost what one costs. */
  asked(): void {
    this.#owner.send(0, frame.pong)
    const now = performance.now()
    if (this.#sentAt === 0 && now - this.#lastSentAt >= pingEvery) this.#ping(now)
  }

  /** The answer to the ping. */
  answered(): void {
    if (this.#sentAt === 0) throw new LinkError('an answer to no ping')
    const now = performance.now()
    const roundTrip = now - this.#sentAt
    this.pace.answered(roundTrip, now)
    this.#sentAt = 0
    this.#witness?.answered(this.#owner.remoteAddress, roundTrip)
  }

  stop(): void {
    this.#stop()
  }

  #start(isQuick: boolean): void {
    this.#stop()
    this.#isQuick = isQuick
    const beat = () => this.#beat()
    if (isQuick) {
      const timer = setInterval(beat, paceEvery).unref()
      this.#stop = () => clearInterval(timer)
    } else this.#stop = onBeat(beat)
  }

  #beat(): void {
    const now = performance.now()
    if (this.#hasBulk) this.pace.sample(now, this.parts >= busyParts)
    this.parts = 0
    if (this.#sentAt === 0) {
      if (!this.#mayRest(now)) this.#ping(now)
      return
    }
    const age = now - this.#sentAt
    if (age > toldAfter) this.#witness?.leftPing(this.#owner.remoteAddress, this.#sentAt)
    if (age > this.#deadAfter) this.#owner.close(`no answer for ${this.#deadAfter / 1000} s`)
  }

  /** Whether the next beat is soon enough for the next ping. */
  #mayRest(now: number): boolean {
    const isIdle = !this.#isQuick && this.#owner.streams === 0
    return isIdle && now + beatEvery - this.#lastSentAt <= this.#idlePingEvery + lateness
  }

  #ping(now: number): void {
    this.#sentAt = now
    this.#lastSentAt = now
    this.#owner.send(0, frame.ping)
  }
}
