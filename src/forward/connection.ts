import type { Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import type { ForwardConfig } from '../config/config.ts'
import type { Reset } from '../link/reset-reason.ts'
import type { Session } from '../link/session.ts'
import type { StreamEnd, StreamOwner } from '../link/stream-owner.ts'
import type { Carrier, CarrierEnd } from './carrier.ts'
import type { ConnectionOwner } from './connection-owner.ts'
import type { Timed } from './deadlines.ts'
import { Dial, type DialOwner } from './dial.ts'
import { type Downstream, StreamDownstream } from './downstream.ts'
import type { RelayOwner } from './relay.ts'
import { Silence } from './silence.ts'
import type { ConnectionStatus, RefusalReason } from './status.ts'
import type { Target } from './target.ts'
import { answerTrace } from './trace.ts'

/**
 * One client of a forward, from accept to the last byte: know who it is, reach a target (over a link, or by a
 * connection that begins with the header and what the client has sent so far), carry the bytes. Each target is tried
 * once. What fails before there is one is a refusal: the client gets a reset, the log one line, the forward's counter
 * one more.
 */
export class Connection implements Timed, DialOwner, RelayOwner, StreamOwner {
  deadline = 0
  readonly forward: ConnectionOwner
  readonly #downstream: Downstream
  /** How far into the ports of a range. */
  readonly #offset: number
  readonly #since = Date.now()
  #descriptors = 0
  #phase: 'header' | 'dialling' | 'relaying' | 'closed' = 'dialling'
  #dial: Dial | undefined
  /** The one that serves. */
  #target: Target | undefined
  #carrier: Carrier | undefined
  /** Why it is being ended by us. */
  #cause: CarrierEnd | undefined
  #silence: Silence | undefined

  constructor(forward: ConnectionOwner, downstream: Downstream, offset: number) {
    this.forward = forward
    this.#downstream = downstream
    this.#offset = offset
  }

  /** So many file descriptors are its own, or are going to be. */
  hold(descriptors: number): void {
    this.forward.descriptors.take(descriptors - this.#descriptors)
    this.#descriptors = descriptors
  }

  start(): void {
    this.#downstream.start(this)
  }

  status(): ConnectionStatus {
    const { source, id } = this.#downstream.client
    const target = this.#target ?? this.#dial?.target
    return {
      forward: this.forward.config.name,
      client: formatHostPort(source.address, source.port),
      target: target && formatHostPort(target.address, target.port + this.#offset),
      since: this.#since,
      receivedBytes: this.#carrier?.receivedBytes ?? 0,
      sentBytes: this.#carrier?.sentBytes ?? 0,
      id: id?.toString('hex'),
    }
  }

  /** Ends it with a reset, whatever it does now: the drain time is over. */
  abort(): void {
    if (this.#carrier === undefined) this.refuse('draining', 'the drain time is over')
    else this.#cut('drain-timeout', 'the drain time is over')
  }

  /** A deadline has passed: that of the header, of the dial, or for a look for silence. */
  expire(): void {
    const { header, connect } = this.forward.config.timeouts
    if (this.#phase === 'header') this.refuse('header-timeout', `no whole PROXY header within ${header} ms`)
    else if (this.#phase === 'dialling') this.#dial?.expire(`no answer within ${connect} ms`)
    else if (this.#phase === 'relaying') this.halfClosed()
  }

  // What the downstream tells.

  awaitHeader(): void {
    this.#phase = 'header'
    this.forward.deadlines.set(this, this.forward.config.timeouts.header)
  }

  /** The client is known: on to a target. */
  known(): void {
    const { config, counters, deadlines } = this.forward
    const { client } = this.#downstream
    this.#phase = 'dialling'
    const refusal = client.isCheck ? undefined : this.forward.admission.admit(this, client.source.address)
    if (refusal !== undefined) {
      this.refuse(refusal.reason, refusal.detail)
      return
    }
    if (client.isCheck) counters.checks++
    else counters.accepted++
    const { upstream } = this.forward
    const target = upstream.pick(undefined)
    const session = target && this.linkTo(target.address)
    if (session !== undefined) {
      this.linked(target!, session)
      return
    }
    client.identify(config.sendProxy)
    deadlines.set(this, config.timeouts.connect)
    this.#dial = new Dial(upstream, this.#offset, this)
    this.#dial.begin(target)
  }

  /** It is marked: it ends here, with an answer. */
  traced(socket: Socket): void {
    this.forward.log.debug(this.status(), 'connection traced')
    this.#close()
    void answerTrace(socket, this.#downstream.client, this.forward, this.#offset)
  }

  refuse(reason: RefusalReason, detail: string): void {
    if (this.#phase === 'closed') return
    const { client, target, id } = this.status()
    this.forward.counters.refused[reason]++
    this.forward.refusals.warn(reason, { client, target, reason, detail, id })
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
    const detail = why?.detail ?? ''
    const reason = why?.reason ?? 'reset'
    const isClientHere = !(this.#downstream instanceof StreamDownstream)
    if (isClientHere && end === 'far-reset' && reason !== 'reset') {
      if (reason === 'target-failed') this.forward.upstream.failed(this.#target!, detail)
      this.refuse(reason, `by the other end: ${detail}`)
    } else if (end === 'local-reset' || end === 'far-reset')
      this.#done(
        this.#cause ?? ((end === 'local-reset') === isClientHere ? 'client-reset' : 'target-reset'),
        detail,
      )
    else this.#done(this.#cause ?? (end === 'aborted' ? 'drain-timeout' : end), detail)
  }

  answered(): void {}

  /** Looks for silence, four times within its limit: it ends at most a quarter late, and no byte sets a timer. */
  halfClosed(): void {
    const carrier = this.#carrier
    if (carrier === undefined) return
    const { idle, halfClosed } = this.forward.config.timeouts
    const limit = carrier.isHalfClosed && (idle === 0 || halfClosed < idle) ? halfClosed : idle
    if (limit === 0) return
    this.#silence ??= new Silence()
    if (this.#silence.lasts(carrier.receivedBytes + carrier.sentBytes) < limit)
      this.forward.deadlines.set(this, limit / 4)
    else this.#cut(limit === idle ? 'idle-timeout' : 'half-closed-timeout', `nothing moved for ${limit} ms`)
  }

  // What its search for a target tells.

  linkTo(address: string): Session | undefined {
    return this.#downstream.mayCross ? this.forward.linkTo(address) : undefined
  }

  linked(target: Target, session: Session): void {
    this.hold(1)
    this.#downstream.client.identify('v2')
    this.#serve(target)
    const header = this.#encodeHeader('v2')!
    this.#carrier = this.#downstream.cross(this, session, target.port + this.#offset, header)
    this.halfClosed()
  }

  dialled(target: Target, socket: Socket): void {
    this.#serve(target)
    target.succeeded()
    const header = this.#encodeHeader(this.forward.config.sendProxy)
    this.#carrier = this.#downstream.relay(this, socket, header)
    this.halfClosed()
  }

  dialFailed(error: string): void {
    this.refuse('target-failed', error)
  }

  #serve(target: Target): void {
    this.#phase = 'relaying'
    this.#target = target
    target.open++
    this.forward.deadlines.clear(this)
  }

  #encodeHeader(sendProxy: ForwardConfig['sendProxy']): Buffer | undefined {
    const { bytes, droppedTlvs } = this.#downstream.client.encode(sendProxy)
    if (droppedTlvs > 0) {
      const { forward, client, id } = this.status()
      this.forward.counters.droppedTlvs += droppedTlvs
      this.forward.log.warn({ forward, client, id, droppedTlvs }, 'TLVs left out of a PROXY header: too long')
    }
    return bytes
  }

  #cut(cause: CarrierEnd, detail: string): void {
    this.#cause = cause
    this.#carrier?.abort(detail)
  }

  #done(end: CarrierEnd, detail: string): void {
    if (this.#phase === 'closed') return
    if (this.#downstream.client.isCheck) this.forward.log.debug(this.#endFields(end, detail), 'check ended')
    else if (this.forward.logConnections())
      this.forward.log.info(this.#endFields(end, detail), 'connection ended')
    this.#close()
  }

  #endFields(end: CarrierEnd, detail: string) {
    const { since, ...connection } = this.status()
    return { ...connection, durationMs: Date.now() - since, end, detail: detail || undefined }
  }

  #close(): void {
    this.#phase = 'closed'
    this.#dial?.cancel()
    this.forward.deadlines.clear(this)
    if (this.#target !== undefined) this.#target.open--
    this.forward.counters.receivedBytes += this.#carrier?.receivedBytes ?? 0
    this.forward.counters.sentBytes += this.#carrier?.sentBytes ?? 0
    this.forward.ended(this)
  }
}
