/** Probes that must go unanswered, one after the other, before silence means anything. */
const fewestTries = 3
const mostTries = 10
/** How likely it may be that a path which merely loses packets looks dead. */
const mistake = 0.002
/** The weight of the last probe in the loss, and in the round-trip time (RFC 6298 has an eighth, too). */
const lossWeight = 0.1
const rttWeight = 1 / 8
/** The loss, 0 to 1, from which on a path is watched closely. */
const muchLoss = 0.03
/** Milliseconds, fewer than TCP waits before it sends a lone segment again (TCP_RTO_MIN is 200). */
const resend = 150

/** What became of the probes of one address. Times are on the clock of its path. */
export class ProbeRecord {
  /** Whether the address ever answered one: a firewall may drop them all. */
  answers = false
  /** Those in a row without an answer: to anything, and since when. */
  unanswered = 0
  unansweredSince = Number.POSITIVE_INFINITY
  /** The same, without anything that arrived. */
  unheard = 0
  /** The same, without an answer of their own. */
  #missed = 0
  /** When the last of a link's pings was sent whose answer told as much as that to a probe. */
  confirmedAt = Number.NEGATIVE_INFINITY
  #rtt: number | undefined
  /** 0 to 1, without those of the last probes that are unanswered, and without what a dead path lost. */
  #loss = 0

  /** @param rtt milliseconds; `undefined` where the answer came after the probe was given up. */
  answered(rtt: number | undefined): void {
    if (rtt !== undefined) this.#smooth(rtt)
    this.answers = true
    this.#missed = 0
    this.#loss *= 1 - lossWeight
  }

  /**
   * A link's ping was answered after so many milliseconds. It tells as much as the answer to a probe where the peer answers
   * those, and hardly any are lost. TCP hides a loss; an answer that took long may have been sent twice.
   */
  pinged(roundTrip: number, now: number): void {
    const { rtt } = this
    if (!this.answers || rtt === undefined) return
    if (this.#lossNow > muchLoss || roundTrip > rtt + resend) return
    this.#smooth(roundTrip)
    this.confirmedAt = now - roundTrip
  }

  left(now: number): void {
    this.unanswered++
    this.unheard++
    this.#missed++
    this.unansweredSince = Math.min(this.unansweredSince, now)
  }

  /** Something else was answered, or this. What a dead path loses is no loss. */
  proved(wasDead: boolean): void {
    if (this.answers && !wasDead) this.#loss = this.#lossNow
    this.unanswered = 0
    this.unheard = 0
    this.unansweredSince = Number.POSITIVE_INFINITY
  }

  /** How many have to go unanswered: on a path that loses every third packet three lost probes are nothing. */
  get tries(): number {
    if (!this.answers) return Number.POSITIVE_INFINITY
    if (this.#loss === 0) return fewestTries
    const tries = Math.ceil(Math.log(mistake) / Math.log(this.#loss))
    return Math.min(Math.max(tries, fewestTries), mostTries)
  }

  /** Milliseconds, smoothed; `undefined` without an answer lately: that of long ago is not the round trip of now. */
  get rtt(): number | undefined {
    return this.#missed < fewestTries ? this.#rtt : undefined
  }

  /** Share of the latest that went unanswered, 0 to 1; `undefined` for who never answered one. */
  get loss(): number | undefined {
    return this.answers ? this.#lossNow : undefined
  }

  #smooth(rtt: number): void {
    this.#rtt = this.#rtt === undefined ? rtt : this.#rtt + (rtt - this.#rtt) * rttWeight
  }

  get #lossNow(): number {
    return 1 - (1 - this.#loss) * (1 - lossWeight) ** this.unanswered
  }
}
