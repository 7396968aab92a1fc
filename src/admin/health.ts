import { isoTime, monotonic } from '../clock.ts'
import type { Log } from '../log/log.ts'
import type { Reason, ReasonCode } from '../reason.ts'

/** Health: one verdict on the whole end, made of the reasons that its parts give. */

export interface HealthReport {
  readonly status: 'ready' | 'degraded' | 'unready'
  readonly reasons: readonly HealthReason[]
}

export interface HealthReason extends Omit<Reason, 'serving'> {
  /** When this reason was first seen in an unbroken run, ISO 8601. */
  readonly since: string
  /** The whole public key of a peer that is not reached, where that is the cause. Only in /status.json. */
  readonly behind?: string
}

/** What the verdict is measured against; asked at every evaluation. */
export interface HealthPolicy {
  /** Whole public keys. */
  readonly peers: readonly string[]
  /** Names. */
  readonly forwards: readonly string[]
  /** What it means when no forward has a healthy target. */
  readonly backends: 'degraded' | 'unready'
}

export interface HealthOptions {
  readonly sources: readonly (() => readonly Reason[])[]
  readonly policy: () => HealthPolicy
  readonly log: Log
  /** Of the clock that nobody sets. */
  readonly now?: () => number
}

/** What a reason is about: the end as a whole, one of its peers, one forward's target, or nothing that hinders. */
const scopes: Readonly<Record<ReasonCode, 'end' | 'peer' | 'backend' | 'warning'>> = {
  starting: 'end',
  'tunnel-process-down': 'end',
  'device-changed': 'end',
  'listen-failed': 'end',
  draining: 'end',
  'no-tunnel-route': 'peer',
  'no-handshake': 'peer',
  'handshake-stale': 'peer',
  'path-dead': 'peer',
  'one-way': 'peer',
  'mtu-black-hole': 'peer',
  'endpoint-unresolved': 'peer',
  'no-route-back': 'peer',
  'nobody-trusted': 'end',
  'backend-down': 'backend',
  'config-rejected': 'warning',
}

/** Evaluated once a second, so that `since` and the log do not depend on anybody asking. */
export class Health {
  readonly #sources: HealthOptions['sources']
  readonly #policy: () => HealthPolicy
  readonly #log: Log
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  readonly #startedAt: number
  #wasServing = false
  #status: HealthReport['status'] | undefined
  #since: ReadonlyMap<string, number> = new Map()

  constructor({ sources, policy, log, now = monotonic }: HealthOptions) {
    this.#sources = sources
    this.#policy = policy
    this.#log = log
    this.#now = now
    this.#startedAt = now()
    this.#timer = setInterval(() => this.evaluate(), 1000).unref()
  }

  evaluate(): HealthReport {
    const given = this.#sources.flatMap(source => source())
    const reasons = this.#date(given)
    const status = verdict(given, this.#policy())
    this.#wasServing ||= status !== 'unready'
    if (status !== this.#status) {
      const level = status === 'ready' ? 'info' : 'warn'
      this.#log[level]({ status, codes: [...new Set(reasons.map(reason => reason.code))] }, 'health changed')
      this.#status = status
    }
    return { status, reasons }
  }

  /**
   * Whether the end has waited for so many milliseconds since its start for a first peer that answers, and for nothing
   * else. Whoever replaces ends one after the other need wait no longer: the gateway is away, for all of them.
   */
  outwaited(patience: number): boolean {
    // What is wrong on this host is no matter of waiting for another.
    const isRest = ({ code }: Reason) => scopes[code] !== 'peer' || code === 'no-tunnel-route'
    const rest = this.#sources.flatMap(source => source()).filter(isRest)
    if (this.#wasServing || verdict(rest, this.#policy()) === 'unready') return false
    return this.#now() - this.#startedAt >= patience
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #date(reasons: readonly Reason[]): readonly HealthReason[] {
    const now = this.#now()
    this.#since = new Map(
      reasons.map(identity).map(reason => [reason, this.#since.get(reason) ?? now] as const),
    )
    return reasons.map(({ serving: _, ...reason }) => ({
      ...reason,
      since: isoTime(this.#since.get(identity(reason))!),
    }))
  }
}

/** Without the detail, which may carry a changing number. */
function identity({ code, peer, forward }: Reason): string {
  return JSON.stringify([code, peer, forward])
}

function verdict(reasons: readonly Reason[], policy: HealthPolicy): HealthReport['status'] {
  if (reasons.length === 0) return 'ready'
  if (reasons.some(({ code, serving }) => scopes[code] === 'end' && !serving)) return 'unready'
  const affected = reasons.filter(({ code, serving }) => scopes[code] === 'peer' && !serving)
  const peers = new Set(affected.map(({ peer }) => peer))
  if (all(policy.peers, peers)) return 'unready'
  const forwards = new Set(reasons.filter(({ code }) => scopes[code] === 'backend').map(r => r.forward))
  return policy.backends === 'unready' && all(policy.forwards, forwards) ? 'unready' : 'degraded'
}

function all(names: readonly string[], affected: ReadonlySet<string | undefined>): boolean {
  return names.length > 0 && names.every(name => affected.has(name))
}
