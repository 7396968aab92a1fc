import { isIP } from 'node:net'
import { formatHostPorts, type HostPorts } from '../address.ts'
import { loopMark } from './loop-mark.ts'
import type { Judged, TargetStatus, Verdict } from './status.ts'

/** Who has targets, and hears of their going up and down. */
export interface TargetOwner {
  /** @param wasDead whether it was down for certain until now. */
  changed(target: Target, wasDead: boolean): void
}

/**
 * One address that connections go to, and how it does: `unknown` until the first answer or failure.
 *
 * A target that only a client found down is suspected: it is used where no other is left, until a check has failed, too.
 */
export class Target {
  readonly address: string
  /** `ip:port` or `ip:first-last` as it is shown, and the name that has the address. */
  readonly text: string
  /** Its port, of a range the first. */
  readonly port: number
  readonly name: string | undefined
  /** Connections that are there or on their way. */
  open = 0
  /** On performance.now()'s clock. */
  failedAt = 0
  readonly #owner: TargetOwner
  #state: TargetStatus['state'] = 'unknown'
  #since = performance.now()
  #error: string | undefined
  #isCertain = false
  #judged: Judged | undefined

  constructor(address: string, { host, first, last }: HostPorts, owner: TargetOwner) {
    this.address = address
    this.port = first
    this.text = formatHostPorts({ host: address, first, last })
    this.name = isIP(host) === 0 ? host : undefined
    this.#owner = owner
  }

  get state(): TargetStatus['state'] {
    return this.#state
  }

  /** When it came to be so; on performance.now()'s clock. */
  get since(): number {
    return this.#since
  }

  /** Of the last failure, while it is down. */
  get error(): string | undefined {
    return this.#error
  }

  /** Down, and not just found so by a client. */
  get isDead(): boolean {
    return this.#state === 'down' && this.#isCertain
  }

  /** Down, because what it is sent comes back to this end. */
  get leadsBack(): boolean {
    return this.#error?.startsWith(loopMark) === true
  }

  succeeded(): void {
    if (this.#state === 'up') return
    const wasDead = this.isDead
    this.#error = undefined
    this.#isCertain = false
    this.#enter('up', wasDead)
  }

  /** @param isCertain a check says so, or the other end. */
  failed(error: string, isCertain: boolean): void {
    this.failedAt = performance.now()
    this.#error = error
    const wasDead = this.isDead
    this.#isCertain ||= isCertain
    if (this.#state !== 'down') this.#enter('down', wasDead)
    else if (this.isDead !== wasDead) this.#owner.changed(this, wasDead)
  }

  /** It was looked at what it makes of the header. */
  judge({ state, found }: Verdict): void {
    this.#judged = { state, found, since: performance.now() }
  }

  status(): TargetStatus {
    const { text: address, name, open: active } = this
    const judged = this.#judged && { judged: this.#judged }
    return { address, name, state: this.#state, since: this.#since, error: this.#error, active, ...judged }
  }

  #enter(state: 'up' | 'down', wasDead: boolean): void {
    this.#state = state
    this.#since = performance.now()
    // It may be another service by now.
    if (state === 'down') this.#judged = undefined
    this.#owner.changed(this, wasDead)
  }
}
