import type { SocketAddress } from '../address.ts'
import type { UdpForm } from '../config/config.ts'
import { flowTlv, flowTlvLength, readAnswer } from '../proxy/flow-mark.ts'
import { encodeProxyV2, hasSignature, parseProxyHeader, type Tlv } from '../proxy/proxy-header.ts'
import { encodeSpp, isSppReply, sppLength } from '../proxy/spp.ts'
import type { FarEnd } from './far-end.ts'
import { bare, none } from './form.ts'

/** Bytes of the longest addresses, IPv6, with what comes before them. */
const leastLimit = 52
/** Datagrams with FLOW without an answer, after which the receiver is taken for somebody else. */
const greatestUnanswered = 32
/** Milliseconds after which such a receiver is asked again: it may have been an end of ours that was down. */
const askAgain = 1000
/**
 * v2-alone: milliseconds without a datagram to the target after which the header comes again, for the receiver forgets. And
 * milliseconds after which it comes again to one that has never answered, so many times: it may have been lost.
 */
const aloneFor = 30_000
const tellAgain = 1000
const mostAgain = 3
/**
 * The header comes again a little before the receiver forgets. One too early costs a datagram of v2-first; one too late
 * costs all datagrams until the client pauses, for the receiver drops them.
 */
const early = 0.99

export interface FlowTarget {
  readonly form: false | UdpForm
  readonly client: SocketAddress
  /** Where the client sent to, as its header or this end's socket says. */
  readonly destination: SocketAddress
  readonly tlvs: readonly Tlv[]
  /** Bytes of a v2 header, 52 to 1536. */
  readonly limit: number
  /** Bytes of the largest datagram that leaves towards the target without being fragmented. */
  readonly mtuPayload: number
  /** Milliseconds without a datagram after which a v2-first receiver forgets the flow. */
  readonly proxyFirst: number
  /** Eight random bytes where another end of ours may be the target (form v2-every): then FLOW is used. */
  readonly nonce: Buffer | undefined
}

/** Why a payload does not go out. `kept`: not yet, it waits for the far end's word. */
export type Unsent = keyof typeof whyUnsent | 'kept'

/** For people. */
export const whyUnsent = {
  'too-big': 'with its header it does not leave in one piece',
  backlog: 'too many wait for the other end to know their flow',
  'header-invalid': 'it begins as a PROXY header does, and its target would take it for one',
} as const

/** Tells the client's address to the target of one flow, in the form that it takes, and reads its replies. Pure. */
export class FormSender {
  readonly #form: false | UdpForm
  readonly #mtuPayload: number
  readonly #proxyFirst: number
  readonly #nonce: Buffer | undefined
  readonly #far: FarEnd<FormSender>
  readonly #headerOf: (isAlone: boolean) => Buffer
  /** Before a payload, and as a datagram of its own. */
  #header = bare
  #headerAlone = bare
  /** Moments of what was sent to the target last, of the last header, and of the last datagram from the target. */
  #sentAt = Number.NEGATIVE_INFINITY
  #toldAt = Number.NEGATIVE_INFINITY
  #heardAt = Number.NEGATIVE_INFINITY
  /** The far end has said that it knows the flow. */
  #isKnown = false
  #wasKnown = false
  #hasSentBare = false
  #unanswered = 0
  /** Datagrams that were kept, without those that have gone out since. */
  #waiting = 0
  #pending: Buffer[] = []

  /** @param far one for each target, which its flows have together */
  constructor(
    { form, client, destination, tlvs, limit, mtuPayload, proxyFirst, nonce }: FlowTarget,
    far: FarEnd<FormSender>,
  ) {
    this.#form = form
    this.#mtuPayload = mtuPayload
    this.#proxyFirst = proxyFirst * early
    this.#nonce = limit < leastLimit + flowTlvLength ? undefined : nonce
    this.#far = far
    this.#headerOf = isAlone => {
      if (form === false) return bare
      if (form === 'spp') return encodeSpp(client, destination)
      if (this.#nonce === undefined) return encodeProxyV2(client, destination, tlvs, limit, 'udp').bytes
      const mark = flowTlv({ nonce: this.#nonce, isAlone, ownsKept: this.#hasSentBare })
      // Where room is short it is the mark that has it: what else fits beside it is what fits without it in less.
      const beside = encodeProxyV2(client, destination, tlvs, limit - flowTlvLength, 'udp').bytes
      const kept = parseProxyHeader(beside, 'v2')?.tlvs ?? []
      return encodeProxyV2(client, destination, [mark, ...kept], limit, 'udp').bytes
    }
    this.#encode()
  }

  /**
   * What is to stand before the payload, in one datagram with it: `bare` (of no length) or a header, which is the same
   * buffer each time. Or why nothing goes out. Before it, what {@link take} gives is to be sent.
   */
  wrap(payload: Buffer, now: number): Buffer | Unsent {
    if (payload.length > this.#mtuPayload) return 'too-big'
    switch (this.#form) {
      case false:
        return bare
      case 'v2-first':
        return this.#first(payload, now)
      case 'v2-alone':
        return this.#alone(payload, now)
      case 'spp':
        return this.#fits(payload) ? this.#header : 'too-big'
      case 'v2-every':
        if (this.#nonce !== undefined) return this.#marked(payload, now)
        return this.#fits(payload) ? this.#header : 'too-big'
    }
  }

  /** Whole datagrams that are to be sent to the target now; to be asked for after `wrap` and `reply`. */
  take(): readonly Buffer[] {
    if (this.#pending.length === 0) return none
    const pending = this.#pending
    this.#pending = []
    return pending
  }

  /**
   * What a datagram from the target is: a reply for the client, a word of the far end's that is for nobody else (`answer`),
   * or one for another client, or for nobody knows whom (`reply-header`).
   */
  reply(bytes: Buffer, now: number): Buffer | 'answer' | 'reply-header' {
    this.#heardAt = now
    if (this.#form === 'spp')
      return isSppReply(bytes, this.#header) ? bytes.subarray(sppLength) : 'reply-header'
    if (this.#nonce === undefined) return bytes
    const answer = readAnswer(bytes)
    if (answer === undefined) return this.#wasKnown || this.#far.mayReply() ? bytes : 'reply-header'
    if (answer === 'unknown') {
      this.#learnUnknown(now)
      return 'answer'
    }
    // Meant for a flow before this one, on the same source port.
    if (!answer.known.equals(this.#nonce)) return answer.reply.length > 0 ? 'reply-header' : 'answer'
    this.#isKnown = true
    this.#wasKnown = true
    this.#unanswered = 0
    this.#far.known()
    const kept = this.#far.kept.take(this, now)
    this.#waiting -= kept.length
    if (kept.length > 0 && !this.#hasSentBare) this.#ownBare()
    this.#pending.push(...kept)
    return answer.reply.length > 0 ? answer.reply : 'answer'
  }

  /** The last datagram has never left: what it told is told again. */
  unsent(): void {
    this.#sentAt = Number.NEGATIVE_INFINITY
    this.#toldAt = Number.NEGATIVE_INFINITY
  }

  /** The flow has ended. Returns how many datagrams have waited in vain for the far end's word. */
  end(): number {
    this.#far.kept.drop(this)
    return this.#waiting
  }

  #encode(): void {
    this.#header = this.#headerOf(false)
    this.#headerAlone = this.#nonce === undefined ? this.#header : this.#headerOf(true)
  }

  #fits(payload: Buffer): boolean {
    return this.#header.length + payload.length <= this.#mtuPayload
  }

  #first(payload: Buffer, now: number): Buffer | Unsent {
    const isDue = now - this.#sentAt >= this.#proxyFirst
    if (isDue && !this.#fits(payload)) return 'too-big'
    // A receiver that has just forgotten would take it for the header.
    if (!isDue && hasSignature(payload)) return 'header-invalid'
    this.#sentAt = now
    return isDue ? this.#header : bare
  }

  #alone(payload: Buffer, now: number): Buffer | Unsent {
    // The receiver would take it for the header.
    if (hasSignature(payload)) return 'header-invalid'
    const isDue = now - this.#sentAt >= aloneFor * early
    const mayBeLost = this.#heardAt === Number.NEGATIVE_INFINITY && this.#unanswered <= mostAgain
    if (isDue || (mayBeLost && now - this.#toldAt >= tellAgain)) {
      this.#unanswered++
      this.#toldAt = now
      this.#pending.push(this.#header)
    }
    this.#sentAt = now
    return bare
  }

  #marked(payload: Buffer, now: number): Buffer | Unsent {
    const isLikeHeader = hasSignature(payload)
    if (this.#isKnown && !isLikeHeader) {
      if (!this.#hasSentBare) this.#ownBare()
      return bare
    }
    const fits = this.#fits(payload)
    if (!fits && (isLikeHeader || !this.#mayAsk(now))) return 'too-big'
    if (!fits && !this.#far.kept.keep(this, payload, now)) return 'backlog'
    this.#unanswered++
    this.#toldAt = now
    if (fits) return this.#header
    this.#waiting++
    this.#pending.push(this.#headerAlone)
    return 'kept'
  }

  #mayAsk(now: number): boolean {
    return this.#unanswered < greatestUnanswered || now - this.#toldAt >= askAgain
  }

  /** From now on, what the far end keeps of this source port is this flow's, and its headers say so. */
  #ownBare(): void {
    this.#hasSentBare = true
    this.#encode()
  }

  /** The far end does not know the flow: it was restarted, or has forgotten it. */
  #learnUnknown(now: number): void {
    // Of a flow before this one, on the same source port: this one has sent nothing that could be unknown.
    if (!this.#hasSentBare) return
    this.#isKnown = false
    this.#unanswered = 1
    this.#toldAt = now
    this.#pending.push(this.#headerAlone)
  }
}
