import type { Socket } from 'node:net'
import type { Reset } from '../link/reset-reason.ts'
import type { StreamEnd } from '../link/stream-owner.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import { type CarrierEnd, carrierEnd } from './carrier.ts'
import type { Hello } from './client-hello.ts'
import { hearing, type Timed, undecidedFor } from './deadlines.ts'
import type { Downstream, DownstreamOwner } from './downstream.ts'
import { Lineage, type LineageOwner } from './lineage.ts'
import { tellEnded, tellHeaderReset, tellRefused } from './lines.ts'
import type { ConnectionOwner, OpenConnection } from './owner.ts'
import { Passage, type PassageOwner } from './passage.ts'
import { connectionStatus } from './progress.ts'
import { Silence, silenceLimit } from './silence.ts'
import type { ConnectionStatus } from './status.ts'
import { answerTrace } from './trace.ts'

type Phase = 'header' | 'undecided' | 'hello' | 'hearing' | 'tracing' | 'dialling' | 'relaying' | 'closed'

/**
 * One client of a forward, from accept to the last byte: know who it is, find its way to a target, carry the bytes.
 * What fails before there is one is a refusal: the client gets a reset, the log one line, the forward's counter one more.
 */
export class Connection implements Timed, DownstreamOwner, LineageOwner, PassageOwner, OpenConnection {
  deadline = 0
  readonly forward: ConnectionOwner
  readonly lineage: Lineage
  readonly #downstream: Downstream
  readonly #passage: Passage
  readonly #since = performance.now()
  #descriptors = 0
  #phase: Phase = 'dialling'
  /** Why it is being ended by us. */
  #cause: CarrierEnd | undefined
  #silence: Silence | undefined

  constructor(forward: ConnectionOwner, downstream: Downstream, offset: number) {
    this.forward = forward
    this.#downstream = downstream
    this.#passage = new Passage(this, downstream, offset)
    this.lineage = new Lineage(this, downstream.client)
  }

  /** So many file descriptors are its own, or are going to be. */
  hold(descriptors: number): void {
    this.forward.take(descriptors - this.#descriptors, this.#downstream.peer)
    this.#descriptors = descriptors
  }

  status(): ConnectionStatus {
    return connectionStatus(this.forward.config.name, this.#since, this.#downstream.client, this.#passage)
  }

  /** Looks whether they are still there whom nobody reads now. */
  look(): void {
    this.#passage.carrier?.look()
  }

  /** Ends it with a reset, whatever it does now: the drain time is over. */
  abort(): void {
    if (this.#passage.carrier === undefined) this.refuse('draining', 'the drain time is over')
    else this.#cut('drain-timeout', 'the drain time is over')
  }

  /** Ends it with a reset if it has a connection with this address, to which data does not leave through the tunnel. */
  cut(address: string, why: string): void {
    const { carrier, target } = this.#passage
    const isItsClients = this.#downstream.client.neighbour === address
    if (carrier !== undefined && (isItsClients || target?.address === address))
      this.#cut('no-tunnel-route', why)
    else if (isItsClients) this.refuse('no-tunnel-route', why)
  }

  /** Addresses that it has connections with. */
  get addresses(): string[] {
    return [this.#downstream.client.neighbour, this.#passage.target?.address ?? '']
  }

  /** A deadline has passed: that of the header, of the hello, of the dial, or for a look for silence. */
  expire(): void {
    const { header, connect } = this.forward.config.timeouts
    if (this.#phase === 'header') this.refuse('header-timeout', `no whole PROXY header within ${header} ms`)
    else if (this.#phase === 'undecided') this.known()
    else if (this.#phase === 'hello') this.refuse('hello-timeout', `no whole ClientHello within ${header} ms`)
    else if (this.#phase === 'hearing') this.#passage.seek()
    else if (this.#phase === 'dialling') this.#passage.expire(`no answer within ${connect} ms`)
    else if (this.#phase === 'relaying') this.halfClosed()
  }

  // What the downstream tells.

  awaitHeader(): void {
    this.#enter('header', this.forward.config.timeouts.header)
  }

  /** Its header may be that of a check: it is one if it ends now, and a client if it sends a byte or waits for one. */
  awaitByte(): void {
    this.#enter('undecided', undecidedFor)
  }

  /** The client is known: on to a target. */
  known(): void {
    const { admission, config, counters } = this.forward
    const { client } = this.#downstream
    client.mayBeCheck = false
    this.#phase = 'dialling'
    if (this.#isLoop(this.lineage.known())) return
    const refusal = admission.judge(this, client, this.#passage)
    if (refusal !== undefined) {
      this.refuse(refusal.reason, refusal.detail)
      return
    }
    counters[client.isCheck ? 'checks' : 'accepted']++
    // A check has no hello.
    if (!client.isCheck && this.forward.upstreams.areByName) {
      this.#enter('hello', config.timeouts.header)
      this.#downstream.awaitHello()
    } else if (this.lineage.isSuspect) this.#enter('hearing', hearing)
    else this.#passage.seek()
  }

  /** Its first bytes have come, and tell which target it wants. */
  greeted(hello: Hello): void {
    const upstream = this.forward.upstreams.of(hello.isTls ? hello.name : undefined)
    if (hello.isTls && hello.name !== undefined) this.#downstream.client.named(hello.name)
    if (upstream !== undefined) this.#passage.seek(upstream)
    else this.refuse('no-route', hello.isTls ? (hello.name ?? 'no server name') : `not TLS: ${hello.detail}`)
  }

  /** It is marked: it ends here, with an answer, and is counted until then. */
  traced(socket: Socket): void {
    this.forward.log.debug(this.status(), 'connection traced')
    this.#enter('tracing', 0)
    const answered = answerTrace(socket, this.#downstream.client, this.forward, this.#passage.offset)
    void answered.then(() => this.#phase === 'tracing' && this.#close())
  }

  /** The client's first bytes. */
  begins(bytes: Buffer): boolean {
    // Those of a stream that was opened to this end are its target's.
    if (this.#downstream.mayCross && this.#isLoop(this.lineage.begins(bytes))) return false
    if (this.#phase === 'hearing' && !this.lineage.isSuspect) this.#passage.seek()
    return true
  }

  refuse(reason: RefusalReason, detail: string): void {
    if (this.#phase === 'closed') return
    tellRefused(this, reason, detail)
    this.#close()
    this.#downstream.refuse(reason, detail)
  }

  /** The client ended before there was a target. */
  gone(end: CarrierEnd, detail: string): void {
    this.#done(end, detail)
    this.#downstream.refuse(undefined, detail)
  }

  // What carries it tells.

  relayEnded(end: 'complete' | 'client-reset' | 'target-reset' | 'aborted', detail: string): void {
    this.#done(this.#cause ?? (end === 'aborted' ? 'drain-timeout' : end), detail)
  }

  streamEnded(end: StreamEnd, why: Reset | undefined): void {
    const { reason, detail }: Reset = why ?? { reason: 'reset', detail: '' }
    if (this.#downstream.mayCross && end === 'far-reset' && reason !== 'reset') {
      this.#passage.refused({ reason, detail })
      this.refuse(reason, `by the other end: ${detail}`)
    } else this.#done(this.#cause ?? carrierEnd(end, this.#downstream.mayCross), detail)
  }

  answered(): void {
    this.#downstream.settled()
  }

  takesBack(end: StreamEnd, why: Reset | undefined): boolean {
    return this.#passage.takesBack(end, why)
  }

  /** Looks for silence, four times within its limit: it ends at most a quarter late, and no byte sets a timer. */
  halfClosed(): void {
    const { carrier } = this.#passage
    if (this.#phase === 'hello') this.greeted({ isTls: false, detail: 'it ended before its ClientHello did' })
    if (this.#phase === 'hearing') this.gone('client-reset', 'it ended before its first byte')
    if (carrier === undefined) return
    const limit = silenceLimit(carrier, this.forward.config.timeouts)
    if (limit === undefined) return
    this.#silence ??= new Silence()
    if (this.#silence.lasts(carrier.receivedBytes + carrier.sentBytes) < limit.ms)
      this.forward.deadlines.set(this, limit.ms / 4)
    else this.#cut(limit.cause, `nothing moved for ${limit.ms} ms`)
  }

  // What its way to a target tells.

  /** A target is searched; all attempts together have this long. */
  seeks(): void {
    this.#enter('dialling', this.forward.config.timeouts.connect)
  }

  get isForsaken(): boolean {
    return this.#downstream.mayBeLost || this.#passage.carrier?.isHalfClosed === true
  }

  sentAgain(): void {
    if (this.#passage.carrier === undefined) this.gone('link-lost', 'its client was sent again')
    else this.#cut('link-lost', 'its client was sent again')
  }

  found(): void {
    this.#phase = 'relaying'
    this.forward.deadlines.clear(this)
  }

  /** @param patience milliseconds that this may take. */
  #enter(phase: Phase, patience: number): void {
    this.#phase = phase
    this.forward.deadlines.set(this, patience)
  }

  #isLoop(loop: string | undefined): boolean {
    if (loop === undefined) return false
    this.refuse('loop', loop)
    this.#passage.carrier?.abort(loop)
    return true
  }

  #cut(cause: CarrierEnd, detail: string): void {
    this.#cause = cause
    this.#passage.carrier?.abort(detail)
  }

  #done(end: CarrierEnd, detail: string): void {
    if (this.#phase === 'closed') return
    tellEnded(this, this.#downstream.client.isCheck, end, detail)
    const { headerInQuestion } = this.#passage
    if (end === 'target-reset' && headerInQuestion > 0) tellHeaderReset(this, headerInQuestion)
    this.#close()
  }

  #close(): void {
    this.#phase = 'closed'
    this.lineage.end()
    this.#passage.close()
    this.forward.deadlines.clear(this)
    this.forward.counters.carried(this.#passage.carrier)
    this.forward.ended(this)
  }
}
