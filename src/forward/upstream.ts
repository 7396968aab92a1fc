import { isDeepStrictEqual } from 'node:util'
import { formatHostPorts } from '../config/address.ts'
import type { UpstreamConfig } from '../config/config.ts'
import type { Descriptors } from '../descriptors.ts'
import type { Log } from '../log.ts'
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
  /** A target has gone up or down, or there are others. */
  readonly changed: (upstream: Upstream) => void
}

/**
 * Where connections go: targets in order, of which one is picked for each connection by what is known of them and by
 * the balance rule. A name stands for all its addresses, as long as its TTL says.
 */
export class Upstream implements SourceOwner {
  readonly resolve: SourceOwner['resolve']
  readonly #options: UpstreamOptions
  #config: UpstreamConfig | undefined
  #sources: readonly Source[] = []
  #targets: readonly Target[] = []
  /** Where the next turn begins. */
  #turn = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: UpstreamOptions) {
    this.#options = options
    this.resolve = options.resolve
  }

  /** From now on these; a target that stays keeps what is known of it. */
  configure(config: UpstreamConfig): void {
    this.#config = config
    this.#sources = config.targets.map(
      where =>
        this.#sources.find(source => isDeepStrictEqual(source.where, where)) ?? new Source(where, this),
    )
    clearInterval(this.#timer)
    const names = this.#sources.filter(({ isName }) => isName)
    const resolve = () => {
      for (const name of names) name.resolve()
    }
    if (names.length > 0) this.#timer = setInterval(resolve, lookAgain).unref()
    resolve()
    this.moved()
  }

  /** Nothing is tried or resolved any more; connections may still be on their way. */
  close(): void {
    clearInterval(this.#timer)
  }

  get descriptors(): Descriptors {
    return this.#options.descriptors
  }

  get targets(): readonly Target[] {
    return this.#targets
  }

  /** Set while there is none because a name's first answer is on its way. */
  get query(): Promise<unknown> | undefined {
    return this.#targets.length > 0
      ? undefined
      : this.#sources.find(({ query }) => query !== undefined)?.query
  }

  /**
   * The target for a connection that has tried `tried`: by the rule one that is up, or may be; else one that is only
   * suspected. `undefined`: there is no point in waiting for one.
   */
  pick(tried: readonly Target[] | undefined): Target | undefined {
    const targets = this.#targets
    if (targets.length === 1) {
      const only = targets[0]!
      return only.isDead || tried?.includes(only) ? undefined : only
    }
    return this.#choose(target => this.#isUsable(target), tried) ?? this.#choose(isSuspect, tried)
  }

  /** Whether `pick` would have one more after these. */
  hasAnother(tried: readonly Target[]): boolean {
    if (this.#targets.length === 1) return false
    return this.#targets.some(target => !target.isDead && !tried.includes(target))
  }

  /** A client did not get there. */
  failed(target: Target, error: string): void {
    target.failed(error, false)
  }

  /** The far end of a link tells of what is behind a port of its. */
  told(address: string, port: number, isUp: boolean): void {
    for (const target of this.#targets) {
      if (target.address !== address || target.port !== port || this.#isRange) continue
      if (isUp) target.succeeded()
      else target.failed('by the other end', false)
    }
  }

  /** What a client alone found is told by its own line. */
  changed({ text: target, name: host, isDead, error }: Target, wasDead: boolean): void {
    const { name: forward, log } = this.#options
    if (isDead && !wasDead) log.warn({ forward, target, host, error }, 'target down')
    else if (wasDead && !isDead) log.info({ forward, target, host }, 'target up')
    this.#options.changed(this)
  }

  moved(): void {
    this.#targets = this.#sources.flatMap(({ targets }) => targets)
    this.#options.changed(this)
  }

  /** What a refused client is told when nothing was tried. */
  get why(): string {
    const reasons = this.#sources.flatMap(({ targets, error }) =>
      targets.length === 0
        ? [error ?? 'not resolved yet']
        : targets.map(({ text, error }) => `${text}: ${error}`),
    )
    return reasons.join(', ')
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

  status(): TargetStatus[] {
    return this.#sources.flatMap(source => source.status())
  }

  /** A target that only clients try is tried by one again after a while; of a range, one port tells nothing of the others. */
  #isUsable({ state, failedAt }: Target): boolean {
    if (state !== 'down') return true
    if (this.#config?.check !== false) return false
    return this.#isRange || performance.now() - failedAt > leftOut
  }

  get #isRange(): boolean {
    const { first, last } = this.#sources[0]!.where
    return first !== last
  }

  #choose(may: (target: Target) => boolean, tried: readonly Target[] | undefined): Target | undefined {
    const targets = this.#targets
    const { balance } = this.#config!
    const from = balance === 'first' ? 0 : this.#turn % targets.length
    let chosen: Target | undefined
    let at = 0
    for (let i = 0; i < targets.length; i++) {
      const index = (from + i) % targets.length
      const target = targets[index]!
      if (tried?.includes(target) || !may(target)) continue
      if (chosen !== undefined && target.open >= chosen.open) continue
      chosen = target
      at = index
      if (balance !== 'leastconn') break
    }
    if (chosen !== undefined) this.#turn = at + 1
    return chosen
  }
}

function isSuspect(target: Target): boolean {
  return target.state === 'down' && !target.isDead
}
