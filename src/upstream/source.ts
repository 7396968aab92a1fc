import { isIP } from 'node:net'
import { canonical, formatHostPorts, type HostPorts } from '../address.ts'
import { messageOf } from '../errors.ts'
import type { TargetStatus } from './status.ts'
import { Target, type TargetOwner } from './target.ts'

/** Targets of one name: each is checked, and takes a descriptor for that, whatever its name server answers. */
const mostTargets = 256
/** Of these, those of which it is told why they do not serve. */
const mostReasons = 8

export interface SourceOwner extends TargetOwner {
  /** All addresses of a name; rejects with `UNRESOLVED`. Asked often: it keeps answers for as long as they hold. */
  readonly resolve: (host: string) => Promise<readonly string[]>
  /** Its targets are others now, or it has none and it is known why. */
  moved(): void
}

/** One configured target: a literal address is one, a name one for each of its addresses. */
export class Source {
  readonly where: HostPorts
  readonly isName: boolean
  /** In the order in which they came up; one that stays keeps its place and what is known of it. */
  #targets: readonly Target[] = []
  #error: string | undefined
  /** Answers in a row that were none. */
  #failures = 0
  #since = performance.now()
  #query: Promise<void> | undefined
  readonly #owner: SourceOwner

  constructor(where: HostPorts, owner: SourceOwner) {
    this.where = where
    this.isName = isIP(where.host) === 0
    this.#owner = owner
    if (!this.isName) this.#targets = [this.#target(canonical(where.host))]
  }

  get targets(): readonly Target[] {
    return this.#targets
  }

  /** Why it has no target. */
  get error(): string | undefined {
    return this.#error
  }

  /** It has no target, and that is no matter of a moment. */
  get isDead(): boolean {
    return this.#targets.length === 0 && this.#failures > 1
  }

  /** Set while a first answer is on its way. */
  get query(): Promise<void> | undefined {
    return this.#targets.length === 0 ? this.#query : undefined
  }

  /** Takes the addresses that its name has now, not more than 256. One query at a time; never rejects. */
  resolve(): void {
    this.#query ??= this.#owner
      .resolve(this.where.host)
      .then(
        addresses => this.#take(addresses),
        (error: unknown) => this.#failed(messageOf(error)),
      )
      .finally(() => {
        this.#query = undefined
      })
  }

  /** Why it serves nobody, of its first few targets. */
  get why(): string {
    if (this.#targets.length === 0) return this.#error ?? 'not resolved yet'
    const reasons = this.#targets.slice(0, mostReasons).map(({ text, error }) => `${text}: ${error}`)
    const more = this.#targets.length - reasons.length
    return reasons.join(', ') + (more > 0 ? `, and ${more} more` : '')
  }

  status(): TargetStatus[] {
    if (this.#targets.length > 0) return this.#targets.map(target => target.status())
    const error = this.#error
    const state = error === undefined ? 'unknown' : 'down'
    const address = formatHostPorts(this.where)
    return [{ address, name: this.where.host, state, since: this.#since, error, active: 0 }]
  }

  #take(addresses: readonly string[]): void {
    const wanted = new Set(addresses.map(canonical))
    const stay = this.#targets.filter(({ address }) => wanted.delete(address))
    const come = [...wanted].slice(0, mostTargets - stay.length)
    if (come.length === 0 && stay.length === this.#targets.length) return
    this.#targets = [...stay, ...come.map(address => this.#target(address))]
    this.#error = undefined
    this.#failures = 0
    this.#owner.moved()
  }

  /** The addresses before it are kept. */
  #failed(error: string): void {
    if (this.#targets.length > 0) return
    if (this.#error === undefined) this.#since = performance.now()
    this.#error = error
    this.#failures++
    this.#owner.moved()
  }

  #target(address: string): Target {
    return new Target(address, this.where, this.#owner)
  }
}
