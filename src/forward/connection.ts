import type { Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import type { ForwardConfig } from '../config/config.ts'
import type { Reset } from '../link/reset-reason.ts'
import type { Session } from '../link/session.ts'
import type { StreamEnd, StreamOwner } from '../link/stream-owner.ts'
import { type Carrier, type CarrierEnd, carrierEnd } from './carrier.ts'
import type { Hello } from './client-hello.ts'
import { tellDropped, tellEnded, tellRefused } from './connection-lines.ts'
import type { ConnectionOwner } from './connection-owner.ts'
import type { Timed } from './deadlines.ts'
import { Dial, type DialOwner } from './dial.ts'
import { type Downstream, StreamDownstream } from './downstream.ts'
import type { RelayOwner } from './relay.ts'
import { Silence } from './silence.ts'
import type { ConnectionStatus, RefusalReason } from './status.ts'
import type { Target } from './target.ts'
import { answerTrace } from './trace.ts'
import type { Upstream } from './upstream.ts'

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
  #phase: 'header' | 'hello' | 'dialling' | 'relaying' | 'closed' = 'dialling'
  #dial: Dial | undefined
  #upstream: Upstream | undefined
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

  status(): ConnectionStatus {
    const { source, serverName, id } = this.#downstream.client
    const target = this.#target ?? this.#dial?.target
    return {
      forward: this.forward.config.name,
      client: formatHostPort(source.address, source.port),
      serverName,
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

  /** A deadline has passed: that of the header, of the hello, of the dial, or for a look for silence. */
  expire(): void {
    const { header, connect } = this.forward.config.timeouts
    if (this.#phase === 'header') this.refuse('header-timeout', `no whole PROXY header within ${header} ms`)
    else if (this.#phase === 'hello') this.refuse('hello-timeout', `no whole ClientHello within ${header} ms`)
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
    const { admission, config, counters, deadlines } = this.forward
    const { client } = this.#downstream
    this.#phase = 'dialling'
    const refusal = client.isCheck ? admission.admitCheck() : admission.admit(this, client.source.address)
    if (refusal !== undefined) {
      this.refuse(refusal.reason, refusal.detail)
      return
    }
    if (client.isCheck) counters.checks++
    else counters.accepted++
    const { upstreams } = this.forward
    // A check has no hello.
    if (client.isCheck || !upstreams.areByName) this.#seek(upstreams.any)
    else {
      this.#phase = 'hello'
      deadlines.set(this, config.timeouts.header)
      this.#downstream.awaitHello()
    }
  }

  /** Its first bytes have come, and tell which target it wants. */
  greeted(hello: Hello): void {
    const upstream = this.forward.upstreams.of(hello)
    if (hello.isTls && hello.name !== undefined) this.#downstream.client.named(hello.name)
    if (upstream !== undefined) this.#seek(upstream)
    else this.refuse('no-route', hello.isTls ? (hello.name ?? 'no server name') : `not TLS: ${hello.detail}`)
  }

  #seek(upstream: Upstream): void {
    const { config, deadlines } = this.forward
    this.#phase = 'dialling'
    this.#upstream = upstream
    const target = upstream.pick(undefined)
    const session = target && this.linkTo(target.address)
    if (session !== undefined) {
      this.linked(target!, session)
      return
    }
    this.#downstream.client.identify(config.sendProxy)
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
    const detail = why?.detail ?? ''
    const reason = why?.reason ?? 'reset'
    const isClientHere = !(this.#downstream instanceof StreamDownstream)
    if (isClientHere && end === 'far-reset' && reason !== 'reset') {
      if (reason === 'target-failed') this.#upstream?.failed(this.#target!, detail)
      this.refuse(reason, `by the other end: ${detail}`)
    } else this.#done(this.#cause ?? carrierEnd(end, isClientHere), detail)
  }

  /** Looks for silence, four times within its limit: it ends at most a quarter late, and no byte sets a timer. */
  halfClosed(): void {
    const carrier = this.#carrier
    if (this.#phase === 'hello') this.greeted({ isTls: false, detail: 'it ended before its ClientHello did' })
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
    // What a check has found, only a check takes back: an end that drains still takes clients.
    if (!target.isDead) target.succeeded()
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
    tellDropped(this, droppedTlvs)
    return bytes
  }

  #cut(cause: CarrierEnd, detail: string): void {
    this.#cause = cause
    this.#carrier?.abort(detail)
  }

  #done(end: CarrierEnd, detail: string): void {
    if (this.#phase === 'closed') return
    tellEnded(this, this.#downstream.client.isCheck, end, detail)
    this.#close()
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
