import { connect, type Socket } from 'node:net'
import { formatHostPort } from '../address.ts'
import { isOutOfFiles, messageOf, systemCode } from '../errors.ts'
import type { Reset } from '../link/reset-reason.ts'
import type { Session } from '../link/session.ts'
import { dialOptions, type ReadSocket } from '../sockets/reader.ts'
import type { Ways } from '../ways.ts'
import type { RefusalReason } from './refusal-reason.ts'
import type { Target } from './target.ts'
import type { Upstream } from './upstream.ts'

/** After this long without an answer the next target is tried beside it; RFC 8305 section 5. Milliseconds. */
const attemptDelay = 250

const none: readonly never[] = []

/** Who wants a target. One of `dialled`, `linked` and `dialFailed` is called, at once or later, unless the dial is cancelled first. */
export interface DialOwner {
  /** Why the target would send the connection back to where it came from, if it would. */
  loop(target: Target): string | undefined
  readonly ways: Ways
  /** A link to this address, where one may be used. */
  linkTo(address: string): Session | undefined
  /** This socket connects. */
  dialling(socket: Socket, target: Target): void
  dialled(target: Target, socket: Socket): void
  /** The next target is reached by a link. */
  linked(target: Target, session: Session): void
  /** One has failed. */
  attemptFailed(target: Target, error: string): void
  /** Each has: why the last one, and for people all of it. */
  dialFailed(reason: RefusalReason, error: string): void
}

/** A connection to one target, without an answer yet. */
interface Attempt {
  readonly dial: Dial
  readonly target: Target
  readonly socket: AttemptSocket
}

/** State on the socket spares closures: thousands may be dialled at once. */
interface AttemptSocket extends ReadSocket {
  attempt?: Attempt | undefined
}

/**
 * The search of one connection for a target, each tried once: the next one at once when one fails, and beside it when
 * one is silent ("happy eyeballs", RFC 8305). Its owner sets the deadline, and calls `expire` when it has passed.
 */
export class Dial {
  readonly #upstream: Upstream
  readonly #offset: number
  readonly #owner: DialOwner
  #tried: readonly Target[] = none
  #errors: readonly string[] = none
  #reason: RefusalReason = 'target-failed'
  #attempts: readonly Attempt[] = none
  /** Descriptors of attempts beside the first one, which has its owner's. */
  #beside = 0
  #timer: NodeJS.Timeout | undefined
  /** For the addresses of a name. */
  #isWaiting = false

  /** @param offset how far into the ports of a range. */
  constructor(upstream: Upstream, offset: number, owner: DialOwner) {
    this.#upstream = upstream
    this.#offset = offset
    this.#owner = owner
  }

  /** The one that is tried, or was last. */
  get target(): Target | undefined {
    return this.#tried.at(-1)
  }

  /** On to the next target. */
  next(): void {
    this.begin(this.#upstream.pick(this.#tried))
  }

  /** Tries the target that was picked. */
  begin(target: Target | undefined): void {
    clearTimeout(this.#timer)
    if (target === undefined) {
      this.#noneLeft()
      return
    }
    this.#tried = [...this.#tried, target]
    const loop = this.#owner.loop(target)
    if (loop !== undefined) {
      target.failed(loop, true)
      this.#failed(target, loop, 'loop')
      this.next()
      return
    }
    const session = this.#owner.linkTo(target.address)
    if (session === undefined) this.#attempt(target)
    else {
      this.cancel()
      this.#owner.linked(target, session)
    }
  }

  /** All that were tried. */
  get tried(): readonly Target[] {
    return this.#tried
  }

  /** The far end of its link does not take the connection. */
  refused(target: Target, why: Reset): void {
    if (!this.#tried.includes(target)) this.#tried = [...this.#tried, target]
    this.#upstream.refused(target, why)
    if (why.reason === 'reset') this.#failed(target, why.detail)
    else this.#failed(target, `by the other end: ${why.detail}`, why.reason)
  }

  /** Those that have not answered yet are taken for down. */
  expire(error: string): void {
    const silent = this.#attempts
    this.cancel()
    for (const { target } of silent) this.#fail(target, error)
    if (silent.length === 0) this.#errors = [...this.#errors, error]
    this.#owner.dialFailed(this.#reason, this.#errors.join(', '))
  }

  cancel(): void {
    this.#isWaiting = false
    clearTimeout(this.#timer)
    for (const attempt of this.#attempts) {
      this.#forget(attempt)
      attempt.socket.destroy()
    }
  }

  #attempt(target: Target): void {
    const shut = this.#owner.ways.shut(target.address)
    if (shut !== undefined) {
      this.#shut(target, shut)
      return
    }
    const socket: AttemptSocket = connect({
      ...dialOptions,
      host: target.address,
      port: target.port + this.#offset,
    })
    this.#owner.dialling(socket, target)
    // It reads nothing before it has a sink.
    socket.pause()
    const { descriptors } = this.#upstream
    if (this.#attempts.length > 0) {
      this.#beside++
      descriptors.take(1)
    }
    socket.attempt = { dial: this, target, socket }
    this.#attempts = [...this.#attempts, socket.attempt]
    target.open++
    socket.on('error', Dial.#onError)
    socket.on('connect', Dial.#onConnect)
    if (this.#upstream.hasAnother(target, this.#tried))
      this.#timer = setTimeout(() => descriptors.shortage(1) === undefined && this.next(), attemptDelay)
  }

  static #onError(this: AttemptSocket, error: Error): void {
    const { attempt } = this
    if (attempt === undefined) return
    const { dial, target } = attempt
    dial.#forget(attempt)
    const code = systemCode(error)
    // Without a descriptor of ours nothing was learned of the target.
    if (isOutOfFiles(code)) dial.#failed(target, code!)
    else dial.#fail(target, code ?? messageOf(error))
    dial.next()
  }

  static #onConnect(this: AttemptSocket): void {
    const { dial, target } = this.attempt!
    this.off('error', Dial.#onError)
    this.off('connect', Dial.#onConnect)
    for (const earlier of dial.#attempts) {
      if (earlier.target === target) break
      dial.#upstream.overtaken(earlier.target)
    }
    dial.#forget(this.attempt!)
    const astray = dial.#owner.ways.astray(target.address, this)
    if (astray !== undefined) {
      this.destroy()
      dial.#shut(target, astray)
      return
    }
    dial.cancel()
    dial.#owner.dialled(target, this)
  }

  #forget(attempt: Attempt): void {
    attempt.socket.attempt = undefined
    this.#attempts = this.#attempts.filter(other => other !== attempt)
    attempt.target.open--
    if (this.#beside === 0) return
    this.#beside--
    this.#upstream.descriptors.give(1)
  }

  /** What is for it does not go through the tunnel. */
  #shut(target: Target, why: string): void {
    this.#fail(target, why, 'no-tunnel-route')
    this.next()
  }

  #fail(target: Target, error: string, reason?: RefusalReason): void {
    this.#upstream.failed(target, error)
    this.#failed(target, error, reason)
  }

  #failed(target: Target, error: string, reason: RefusalReason = 'target-failed'): void {
    this.#reason = reason
    const address = formatHostPort(target.address, target.port + this.#offset)
    this.#errors = [...this.#errors, `${address}: ${error}`]
    this.#owner.attemptFailed(target, error)
  }

  #noneLeft(): void {
    const { query, why, targets } = this.#upstream
    if (this.#attempts.length > 0) return
    if (query !== undefined) {
      this.#isWaiting = true
      void query.then(() => this.#isWaiting && this.next())
    } else if (this.#errors.length > 0) this.#owner.dialFailed(this.#reason, this.#errors.join(', '))
    else {
      const isLoop = targets.length > 0 && targets.every(({ leadsBack }) => leadsBack)
      this.#owner.dialFailed(isLoop ? 'loop' : this.#reason, why)
    }
  }
}
