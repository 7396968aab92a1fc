import { isDeepStrictEqual } from 'node:util'
import { formatHostPorts } from '../address.ts'
import type { UpstreamConfig } from '../config/config.ts'
import { type Reset, refusalsOfEnd, refusalsOfMoment } from '../link/reset-reason.ts'
import type { Log } from '../log/log.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { Balancer } from './balancer.ts'
import { Check, type CheckOwner } from './check.ts'
import { Source, type SourceOwner } from './source.ts'
import type { TargetStatus } from './status.ts'
import type { Target } from './target.ts'

/** Milliseconds between two looks at whether a name's answer still holds: the floor of its TTL. */
const lookAgain = 1000
/** Milliseconds that a target is left out which only clients try. */
const leftOut = 5000

export interface UpstreamOptions {
  /** Of the forward, for the log. */
  readonly name: string
  readonly log: Log
  readonly descriptors: Descriptors
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly knock: CheckOwner['knock']
  /** A target has gone up or down, or there are others. */
  readonly changed: (upstream: Upstream) => void
}

/**
 * Where connections go: targets in order, of which one is picked for each connection by what is known of them and by
 * the balance rule. A name stands for all its addresses, as long as its TTL says.
 */
export class Upstream implements SourceOwner, CheckOwner {
  readonly resolve: SourceOwner['resolve']
  readonly knock: CheckOwner['knock']
  readonly #options: UpstreamOptions
  #config: UpstreamConfig | undefined
  #sources: readonly Source[] = []
  #targets: readonly Target[] = []
  #checks: ReadonlyMap<Target, Check> = new Map()
  readonly #balancer = new Balancer()
  /** Names are asked for, again and again: not before there is a client or a check. */
  #isAwake = false
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: UpstreamOptions) {
    this.#options = options
    this.resolve = options.resolve
    this.knock = options.knock
  }

  /** From now on these; a target that stays keeps what is known of it. */
  configure(config: UpstreamConfig): void {
    if (!isDeepStrictEqual(config.check, this.#config?.check)) this.#endChecks()
    this.#config = config
    const known = new Map(this.#sources.map(source => [formatHostPorts(source.where), source]))
    this.#sources = config.targets.map(where => known.get(formatHostPorts(where)) ?? new Source(where, this))
    if (this.#isAwake || typeof config.check === 'object') this.#wake()
    this.moved()
  }

  /** Nothing is tried or resolved any more; connections may still be on their way. */
  close(): void {
    clearInterval(this.#timer)
    this.#endChecks()
    this.#isClosed = true
  }

  get descriptors(): Descriptors {
    return this.#options.descriptors
  }

  get targets(): readonly Target[] {
    return this.#targets
  }

  /** Set while there is none because a name's first answer is on its way. */
  get query(): Promise<unknown> | undefined {
    if (this.#targets.length > 0) return undefined
    return this.#sources.find(({ query }) => query !== undefined)?.query
  }

  /**
   * The target for a connection that has tried `tried`: by the rule one that is up, or may be; else one that is only
   * suspected. `undefined`: there is no point in waiting for one.
   */
  pick(tried: readonly Target[] | undefined): Target | undefined {
    if (!this.#isAwake) this.#wake()
    const targets = this.#targets
    if (targets.length === 1) {
      const only = targets[0]!
      return only.isDead || tried?.includes(only) ? undefined : only
    }
    return this.#choose(target => this.#isUsable(target), tried) ?? this.#choose(isSuspect, tried)
  }

  /** Whether `pick` would have one more after these. */
  hasAnother(current: Target, tried: readonly Target[] | undefined): boolean {
    if (this.#targets.length === 1) return false
    return this.#targets.some(target => target !== current && !target.isDead && !tried?.includes(target))
  }

  /** A client did not get there. */
  failed(target: Target, error: string): void {
    target.failed(error, false)
  }

  /** The far end of its link refused a client. */
  refused(target: Target, { reason, detail }: Reset): void {
    if (refusalsOfEnd.has(reason) && !refusalsOfMoment.has(reason))
      target.failed(`by the other end: ${detail}`, false)
  }

  /** It did not answer a client for a while, and another did. */
  overtaken(target: Target): void {
    const check = this.#checks.get(target)
    if (check === undefined) target.failed('it was slow to answer', false)
    else check.try()
  }

  /** The end at this address is there again. */
  retry(address: string): void {
    for (const target of this.#targets)
      if (target.address === address && target.state === 'down') this.#checks.get(target)?.try()
  }

  /** The end at this address says that it is going. */
  drains(address: string): void {
    for (const target of this.#targets) if (target.address === address) target.failed('it drains', false)
  }

  isServed(): boolean {
    return this.#targets.some(({ state }) => state === 'up')
  }

  /** The far end of a link tells of ports, each with whether a target behind it is up. */
  told(address: string, states: ReadonlyMap<number, boolean>): void {
    for (const target of this.#targets) {
      const isUp = target.address === address && !this.#isRange ? states.get(target.port) : undefined
      if (isUp === undefined) continue
      if (isUp) target.succeeded()
      else target.failed('by the other end', this.#config?.check !== false)
    }
  }

  /** What a client alone found is told by its own line. */
  changed(changed: Target, wasDead: boolean): void {
    const { name: forward, log } = this.#options
    const { text: target, name: host, isDead, error } = changed
    this.#checks.get(changed)?.reschedule()
    if (isDead && !wasDead) log.warn({ forward, target, host, error }, 'target down')
    else if (wasDead && !isDead) log.info({ forward, target, host }, 'target up')
    this.#options.changed(this)
  }

  moved(): void {
    this.#targets = this.#sources.flatMap(({ targets }) => targets)
    this.#check()
    this.#options.changed(this)
  }

  /** What a refused client is told when nothing was tried. */
  get why(): string {
    return this.#sources.map(({ why }) => why).join(', ')
  }

  /** There is none configured. */
  get isEmpty(): boolean {
    return this.#sources.length === 0
  }

  /** As configured. */
  get text(): string {
    return (this.#config?.targets ?? []).map(formatHostPorts).join(', ')
  }

  /** None that is up, or may be. */
  get isDown(): boolean {
    return this.#sources.every(({ targets, error }) =>
      targets.length === 0 ? error !== undefined : targets.every(({ state }) => state === 'down'),
    )
  }

  /** Nobody who comes could be served, for certain. */
  get isDead(): boolean {
    const isDead = (source: Source) =>
      source.targets.length === 0 ? source.isDead : source.targets.every(target => target.isDead)
    return this.#config?.check !== false && this.#sources.every(isDead)
  }

  status(): TargetStatus[] {
    return this.#sources.flatMap(source => source.status())
  }

  /** A target that only clients try is tried by one again after a while; of a range, one port tells nothing of the others. */
  #isUsable({ state, failedAt }: Target): boolean {
    if (state !== 'down') return true
    if (this.#config?.check !== false) return false
    return this.#isRange || performance.now() - failedAt > leftOut
  }

  #wake(): void {
    this.#isAwake = true
    clearInterval(this.#timer)
    const names = this.#sources.filter(({ isName }) => isName)
    const resolve = () => {
      for (const name of names) name.resolve()
    }
    if (names.length > 0 && !this.#isClosed) this.#timer = setInterval(resolve, lookAgain).unref()
    resolve()
  }

  /** Each target has its check, and no other has one. */
  #check(): void {
    const { check = false } = this.#config ?? {}
    if (check === false || this.#isClosed) {
      this.#endChecks()
      return
    }
    const before = this.#checks
    this.#checks = new Map(
      this.#targets.map(target => [target, before.get(target) ?? new Check(target, check, this)]),
    )
    for (const [target, check] of before) if (!this.#checks.has(target)) check.close()
  }

  #endChecks(): void {
    for (const check of this.#checks.values()) check.close()
    this.#checks = new Map()
  }

  get #isRange(): boolean {
    const { first, last } = this.#sources[0]!.where
    return first !== last
  }

  #choose(may: (target: Target) => boolean, tried: readonly Target[] | undefined): Target | undefined {
    return this.#balancer.choose(this.#targets, this.#config!.balance, may, tried)
  }
}

function isSuspect(target: Target): boolean {
  return target.state === 'down' && !target.isDead
}
