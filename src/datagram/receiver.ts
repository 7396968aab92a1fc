import type { SocketAddress } from '../address.ts'
import type { UdpForm } from '../config/config.ts'
import { flowOf, knownAnswer, readAnswer, unknownAnswer } from '../proxy/flow-mark.ts'
import { hasSignature, type ProxyHeader } from '../proxy/proxy-header.ts'
import { hasSppMagic, parseSpp, sppLength } from '../proxy/spp.ts'
import { bare, none } from './form.ts'
import { Kept } from './kept.ts'
import {
  type Dropped,
  dropped,
  type FlowSource,
  headerOf,
  isSame,
  keyOf,
  type Reading,
  sourceOf,
  type Told,
  told,
} from './reading.ts'

/** Senders that are known at a time; the one that was learnt first goes. */
const greatestSenders = 65_536
/** Milliseconds without a datagram after which a v2-alone sender is unknown again. */
const aloneFor = 30_000

interface Known {
  readonly source: FlowSource
  /** KNOWN with the nonce of FLOW; of no length in the forms v2-first and v2-alone. */
  answer: Buffer
  /** What replies carry: the answer until the sender shows that it has got it, then nothing. */
  replyHeader: Buffer
  /** Moment of its last datagram; forms v2-first and v2-alone. */
  at: number
}

/**
 * Reads the client's address from datagrams, in the form that senders use. One for each port that is listened on; only
 * datagrams of trusted senders may come here. Pure.
 */
export class FormReceiver {
  readonly #form: false | UdpForm
  /** Milliseconds for which a silent sender is known. */
  #knownFor = Number.POSITIVE_INFINITY
  readonly #known = new Map<string, Known>()
  readonly #kept = new Kept<string>()

  /** @param proxyFirst milliseconds without a datagram after which a v2-first sender is unknown again */
  constructor(form: false | UdpForm, proxyFirst: number) {
    this.#form = form
    if (form === 'v2-alone') this.#knownFor = aloneFor
    this.proxyFirst = proxyFirst
  }

  /** Milliseconds without a datagram after which a v2-first sender is unknown again. */
  set proxyFirst(ms: number) {
    if (this.#form === 'v2-first') this.#knownFor = ms
  }

  /** @param sender canonical, IPv4-mapped IPv6 un-mapped */
  read(bytes: Buffer, sender: SocketAddress, now: number): Reading {
    const from = keyOf(sender)
    if (this.#form === false) return told(sourceOf(from, sender, undefined), bytes)
    if (this.#form === 'spp') return readSpp(bytes, sender, from)
    if (!hasSignature(bytes)) return this.#readBare(bytes, from, now)
    // Taken for a client's, it would be answered in its turn, and so on.
    if (readAnswer(bytes) !== undefined)
      return dropped('header-invalid', 'what an end answers to a sender, sent to a listener')
    const header = headerOf(bytes)
    if ('kind' in header) return header
    if (this.#form === 'v2-every') return this.#readEvery(header, bytes, sender, from, now)
    const isAlone = header.length === bytes.length
    if (this.#form === 'v2-alone')
      return isAlone
        ? told(this.#learn(from, sourceOf(from, sender, header), now).source, undefined)
        : dropped(
            'header-invalid',
            `${bytes.length - header.length} bytes after a PROXY v2 header, allowed are none`,
          )
    return this.#readFirst(header, bytes, sender, from, now)
  }

  /**
   * What is to stand before a reply to the sender, in one datagram with it: nothing, the header of SPP, or KNOWN. That comes
   * before replies until the sender shows that it has got it, so that a reply to a flow that has ended is not taken for one
   * to the next on its port; and before a reply that begins like a header, which would be taken for an answer of this end.
   * @param mtuPayload bytes of the largest datagram that leaves towards the sender without being fragmented
   */
  wrapReply(reply: Buffer, { key, replyHeader }: FlowSource, mtuPayload: number): Buffer | 'too-big' {
    const room = mtuPayload - reply.length
    if (room < replyHeader.length) return 'too-big'
    const known = this.#known.get(key)
    if (this.#form !== 'v2-every' || known === undefined) return replyHeader
    if (hasSignature(reply)) return known.answer.length <= room ? known.answer : 'too-big'
    // The answer has been sent by itself, too.
    return known.replyHeader.length <= room ? known.replyHeader : bare
  }

  /**
   * The flow has ended, or is refused: what was learnt for it goes, and its sender will be asked should it go on. Senders
   * of the other forms cannot be asked; they stay known for their time.
   */
  forget({ key, client }: FlowSource): void {
    if (this.#form !== 'v2-every') return
    const known = this.#known.get(key)
    // The port may be another client's already.
    if (known !== undefined && isSame(known.source.client, client)) this.#known.delete(key)
  }

  /**
   * Gives up what waited for too long, and forgets silent senders. To be called now and then.
   * @returns how many datagrams were given up since the last call, whose senders told no client
   */
  expire(now: number): number {
    if (this.#knownFor < Number.POSITIVE_INFINITY)
      for (const [from, known] of this.#known) if (!this.#isValid(known, now)) this.#known.delete(from)
    return this.#kept.givenUp(now)
  }

  #readBare(bytes: Buffer, from: string, now: number): Reading {
    const known = this.#known.get(from)
    if (known !== undefined && this.#isValid(known, now)) {
      known.at = now
      known.replyHeader = bare
      return told(known.source, bytes)
    }
    if (this.#form !== 'v2-every') return dropped('header-missing', missing)
    if (!this.#kept.keep(from, bytes, now))
      return dropped('backlog', 'no room for another datagram that waits for its PROXY v2 header')
    return { kind: 'kept', answer: unknownAnswer }
  }

  #readEvery(header: ProxyHeader, bytes: Buffer, sender: SocketAddress, from: string, now: number): Told {
    const payload = bytes.subarray(header.length)
    const flow = flowOf(header.tlvs)
    const client = header.source ?? sender
    const known = this.#known.get(from)
    const isKnown = known !== undefined && isSame(known.source.client, client)
    if (flow === undefined) {
      if (isKnown) return told(known.source, payload)
      // Who sends now does not say that the port is one client's.
      this.#known.delete(from)
      const source = sourceOf(`${from} ${keyOf(client)}`, sender, header)
      return told(source, payload, none, undefined, known && from)
    }
    const record = isKnown ? known : this.#learn(from, sourceOf(from, sender, header), now)
    const answer = knownAnswer(flow.nonce)
    if (!record.answer.equals(answer)) record.answer = record.replyHeader = answer
    // Otherwise what was kept is of a flow before this one, on the same port.
    if (!flow.ownsKept) this.#kept.drop(from)
    const kept = this.#kept.take(from, now)
    const ended = known === undefined || isKnown ? undefined : from
    return told(record.source, flow.isAlone ? undefined : payload, kept, answer, ended)
  }

  #readFirst(header: ProxyHeader, bytes: Buffer, sender: SocketAddress, from: string, now: number): Reading {
    const payload = bytes.subarray(header.length)
    const known = this.#known.get(from)
    if (known === undefined || !this.#isValid(known, now))
      return told(this.#learn(from, sourceOf(from, sender, header), now).source, payload)
    // A header a little too early says nothing new.
    if (isSame(known.source.client, header.source ?? sender)) {
      known.at = now
      return told(known.source, payload)
    }
    // A client that writes headers itself, or a port that is another client's: whose what follows is, nobody can know.
    this.#known.delete(from)
    return dropped('header-invalid', 'a PROXY v2 header that names another client than the one before it')
  }

  #isValid(known: Known, now: number): boolean {
    return now - known.at < this.#knownFor
  }

  #learn(from: string, source: FlowSource, at: number): Known {
    this.#known.delete(from)
    if (this.#known.size >= greatestSenders)
      for (const first of this.#known.keys()) {
        this.#known.delete(first)
        break
      }
    const known: Known = { source, answer: bare, replyHeader: bare, at }
    this.#known.set(from, known)
    return known
  }
}

const missing = 'no PROXY v2 header, which the first datagram of a sender has to bring'

function readSpp(bytes: Buffer, sender: SocketAddress, from: string): Told | Dropped {
  if (!hasSppMagic(bytes)) return dropped('header-missing', 'no SPP header: it begins with 0x56ec')
  const header = parseSpp(bytes)
  if (header === undefined)
    return dropped('header-invalid', `an SPP header of ${bytes.length} bytes, it has ${sppLength}`)
  const { client, proxy: destination } = header
  const source = {
    key: `${from} ${keyOf(client)}`,
    sender,
    client,
    destination,
    tlvs: [],
    replyHeader: Buffer.from(bytes.subarray(0, sppLength)),
  }
  return told(source, bytes.subarray(sppLength))
}
