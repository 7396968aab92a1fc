import type { Socket } from 'node:net'
import { type Reset, refusalsOfEnd } from '../link/reset-reason.ts'
import type { Session } from '../link/session.ts'
import type { StreamEnd } from '../link/stream-owner.ts'
import { Dial, type DialOwner } from '../upstream/dial.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Target } from '../upstream/target.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Ways } from '../ways.ts'
import type { Check } from './admission.ts'
import type { Carrier } from './carrier.ts'
import type { EncodedHeader } from './client.ts'
import type { Downstream, DownstreamOwner } from './downstream.ts'
import type { Lineage } from './lineage.ts'
import { tellAttempt, tellDropped } from './lines.ts'
import type { ConnectionStatus } from './status.ts'

/** Milliseconds from a header to the reset that answers it: a slow tunnel's round trips, and a busy target. */
const moment = 2000

/** The connection, which hears what its way to a target comes to. */
export interface PassageOwner extends DownstreamOwner {
  readonly lineage: Lineage
  status(): ConnectionStatus
  hold(descriptors: number): void
  /** A target is searched; all attempts together have as long as `timeouts.connect` says. */
  seeks(): void
  /** There is one. */
  found(): void
}

/**
 * The way of one connection from its client to a target: over a link, or by a connection that begins with the header and
 * what the client has sent so far. Each target is tried once, as long as nobody has seen a byte.
 */
export class Passage implements DialOwner, Check {
  readonly #connection: PassageOwner
  readonly #downstream: Downstream
  /** How far into the ports of a range. */
  readonly #offset: number
  #upstream: Upstream | undefined
  #dial: Dial | undefined
  #target: Target | undefined
  #carrier: Carrier | undefined
  /** Bytes of the header that a target of this end was sent, 0: none; and when, on performance.now()'s clock. */
  #headerBytes = 0
  #dialledAt = 0

  constructor(connection: PassageOwner, downstream: Downstream, offset: number) {
    this.#connection = connection
    this.#downstream = downstream
    this.#offset = offset
  }

  /** The one that serves, or the latest that was tried. */
  get target(): Target | undefined {
    return this.#target ?? this.#dial?.target
  }

  get port(): number {
    return (this.target?.port ?? 0) + this.#offset
  }

  get offset(): number {
    return this.#offset
  }

  /** What carries the bytes, once there is a target. */
  get carrier(): Carrier | undefined {
    return this.#carrier
  }

  get isAnswered(): boolean {
    return (this.#carrier?.sentBytes ?? 0) > 0
  }

  /**
   * Bytes of the header that the target got, if it has sent nothing, and only a moment has passed: a reset now is its
   * answer to the header. 0 where it is not.
   */
  get headerInQuestion(): number {
    const isSoon = performance.now() - this.#dialledAt < moment
    return isSoon && this.#carrier?.sentBytes === 0 ? this.#headerBytes : 0
  }

  /** To one of these targets, or of those that need no name of a server. A link takes it at once. */
  seek(upstream: Upstream = this.#connection.forward.upstreams.any): void {
    this.#upstream = upstream
    const target = upstream.pick(undefined)
    const session = target && this.loop(target) === undefined ? this.linkTo(target.address) : undefined
    if (session !== undefined) {
      this.linked(target!, session)
      return
    }
    this.#identify(this.#connection.forward.config.sendProxy)
    this.#search().begin(target)
  }

  /** Nobody has answered in time. */
  expire(error: string): void {
    this.#dial?.expire(error)
  }

  /** The far end of the link refuses it, and there it ends. */
  refused(why: Reset): void {
    this.#upstream?.refused(this.#target!, why)
  }

  /** The stream was cut. Where nobody has seen a byte of it, it goes to another target. */
  takesBack(end: StreamEnd, why: Reset | undefined): boolean {
    const isRefused = end === 'far-reset' && why !== undefined && refusalsOfEnd.has(why.reason)
    // What was sent over a link that was lost may have arrived.
    if (!isRefused && end !== 'link-lost') return false
    if (!this.#downstream.takeBack(!isRefused)) return false
    const target = this.#target!
    target.open--
    this.#target = undefined
    this.#carrier = undefined
    this.#connection.hold(2)
    const dial = this.#search()
    dial.refused(target, why ?? { reason: 'reset', detail: end })
    dial.next()
    return true
  }

  close(): void {
    this.#dial?.cancel()
    if (this.#target !== undefined) this.#target.open--
  }

  // What the search asks and tells.

  get ways(): Ways {
    return this.#connection.forward.ways
  }

  loop(target: Target): string | undefined {
    const { forward } = this.#connection
    return forward.loops.wayBack.of(
      forward,
      target,
      target.port + this.#offset,
      this.#downstream.client.destination,
    )
  }

  dialling(socket: Socket, target: Target): void {
    const { comebacks } = this.#connection.forward.loops
    comebacks.dialled(socket, target, target.port + this.#offset, this.#connection.lineage)
  }

  linkTo(address: string): Session | undefined {
    return this.#downstream.mayCross ? this.#connection.forward.linkTo(address) : undefined
  }

  linked(target: Target, session: Session): void {
    this.#connection.hold(1)
    this.#identify('v2')
    this.#serve(target)
    const header = this.#told(this.#downstream.client.encodeForLink())
    const mayReturn = this.#upstream!.hasAnother(target, this.#dial?.tried)
    const port = target.port + this.#offset
    this.#carrier = this.#downstream.cross(this.#connection, session, port, header, mayReturn)
    if (!mayReturn) this.#downstream.client.told()
    this.#connection.halfClosed()
  }

  dialled(target: Target, socket: Socket): void {
    // Over, and an open connection costs less without it.
    this.#dial = undefined
    this.#serve(target)
    // What a check has found, only a check takes back: an end that drains still takes clients.
    if (!target.isDead) target.succeeded()
    const { sendProxy, proxyHeaderLimit } = this.#connection.forward.config
    const header =
      sendProxy === false
        ? undefined
        : this.#told(this.#downstream.client.encode(sendProxy, proxyHeaderLimit))
    this.#headerBytes = header?.length ?? 0
    this.#dialledAt = Math.round(performance.now())
    this.#carrier = this.#downstream.relay(this.#connection, socket, header)
    this.#downstream.client.told()
    this.#connection.halfClosed()
  }

  attemptFailed(target: Target, error: string): void {
    tellAttempt(this.#connection, target, error)
  }

  dialFailed(reason: RefusalReason, error: string): void {
    this.#connection.refuse(reason, error)
  }

  #identify(sendProxy: false | 'v1' | 'v2'): void {
    const { client } = this.#downstream
    client.identify(sendProxy)
    if (sendProxy !== false) this.#connection.lineage.tell()
  }

  #search(): Dial {
    this.#connection.seeks()
    this.#dial ??= new Dial(this.#upstream!, this.#offset, this)
    return this.#dial
  }

  #serve(target: Target): void {
    this.#target = target
    target.open++
    this.#connection.found()
  }

  #told({ bytes, droppedTlvs }: EncodedHeader): Buffer {
    tellDropped(this.#connection, droppedTlvs)
    return bytes
  }
}
