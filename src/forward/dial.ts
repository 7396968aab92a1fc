import { connect, type Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import { messageOf, systemCode } from '../errors.ts'
import type { Reset } from '../link/reset-reason.ts'
import type { Session } from '../link/session.ts'
import { dialOptions } from '../reader.ts'
import type { RefusalReason } from './status.ts'
import type { Target } from './target.ts'
import type { Upstream } from './upstream.ts'

/** After this long without an answer the next target is tried beside it; RFC 8305 section 5. Milliseconds. */
const attemptDelay = 250

/** Who wants a target. One of `dialled`, `linked` and `dialFailed` is called, at once or later, unless the dial is cancelled first. */
export interface DialOwner {
  /** A link to this address, where one may be used. */
  linkTo(address: string): Session | undefined
  dialled(target: Target, socket: Socket): void
  /** The next target is reached by a link. */
  linked(target: Target, session: Session): void
  /** One has failed. */
  attemptFailed(target: Target, error: string): void
  /** Each has: why the last one, and for people all of it. */
  dialFailed(reason: RefusalReason, error: string): void
}

/**
 * The search of one connection for a target, each tried once: the next one at once when one fails, and beside it when
 * one is silent ("happy eyeballs", RFC 8305). Its owner sets the deadline, and calls `expire` when it has passed.
 */
export class Dial {
  readonly #upstream: Upstream
  readonly #offset: number
  readonly #owner: DialOwner
  readonly #tried: Target[] = []
  readonly #errors: string[] = []
  #reason: RefusalReason = 'target-failed'
  /** Without an answer yet. */
  readonly #attempts = new Map<Target, Socket>()
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
    const session = this.#owner.linkTo(target.address)
    this.#tried.push(target)
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
    if (!this.#tried.includes(target)) this.#tried.push(target)
    this.#upstream.refused(target, why)
    if (why.reason === 'reset') this.#failed(target, why.detail)
    else this.#failed(target, `by the other end: ${why.detail}`, why.reason)
  }

  /** Those that have not answered yet are taken for down. */
  expire(error: string): void {
    const silent = [...this.#attempts.keys()]
    this.cancel()
    for (const target of silent) this.#fail(target, error)
    if (silent.length === 0) this.#errors.push(error)
    this.#owner.dialFailed(this.#reason, this.#errors.join(', '))
  }

  cancel(): void {
    this.#isWaiting = false
    clearTimeout(this.#timer)
    for (const [target, socket] of this.#attempts) {
      this.#forget(target)
      socket.destroy()
    }
  }

  #attempt(target: Target): void {
    const socket = connect({ ...dialOptions, host: target.address, port: target.port + this.#offset })
    // It reads nothing before it has a sink.
    socket.pause()
    const { descriptors } = this.#upstream
    if (this.#attempts.size > 0) {
      this.#beside++
      descriptors.take(1)
    }
    this.#attempts.set(target, socket)
    target.open++
    const onError = (error: Error) => {
      if (!this.#attempts.has(target)) return
      this.#forget(target)
      const code = systemCode(error)
      // Without a descriptor of ours nothing was learned of the target.
      if (code === 'EMFILE' || code === 'ENFILE') this.#failed(target, code)
      else this.#fail(target, code ?? messageOf(error))
      this.next()
    }
    socket.once('error', onError)
    socket.once('connect', () => {
      socket.off('error', onError)
      for (const earlier of this.#attempts.keys()) {
        if (earlier === target) break
        this.#upstream.overtaken(earlier)
      }
      this.#forget(target)
      this.cancel()
      this.#owner.dialled(target, socket)
    })
    if (this.#upstream.hasAnother(target, this.#tried))
      this.#timer = setTimeout(() => descriptors.free > 0 && this.next(), attemptDelay)
  }

  #forget(target: Target): void {
    this.#attempts.delete(target)
    target.open--
    if (this.#beside === 0) return
    this.#beside--
    this.#upstream.descriptors.give(1)
  }

  #fail(target: Target, error: string): void {
    this.#upstream.failed(target, error)
    this.#failed(target, error)
  }

  #failed(target: Target, error: string, reason: RefusalReason = 'target-failed'): void {
    this.#reason = reason
    this.#errors.push(`${formatHostPort(target.address, target.port + this.#offset)}: ${error}`)
    this.#owner.attemptFailed(target, error)
  }

  #noneLeft(): void {
    const { query, why } = this.#upstream
    if (this.#attempts.size > 0) return
    if (query !== undefined) {
      this.#isWaiting = true
      void query.then(() => this.#isWaiting && this.next())
    } else this.#owner.dialFailed(this.#reason, this.#errors.join(', ') || why)
  }
}
