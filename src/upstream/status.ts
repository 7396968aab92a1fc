/** What is shown of targets. Times are on performance.now()'s clock. */

export interface TargetStatus {
  /** `ip:port` or `ip:first-last`; with the name where that has no address. */
  readonly address: string
  /** The name that the address is of, if it is one's. */
  readonly name: string | undefined
  /** Server names whose connections go there; without them all that go nowhere else. */
  readonly routes?: readonly string[]
  /** As the last connection or check found it; `unknown` before the first, and where it cannot be known now. */
  readonly state: 'unknown' | 'up' | 'down'
  readonly since: number
  /** Of the last failure, while down. */
  readonly error: string | undefined
  /** The whole public key of the peer that it is behind, while that is not reached: then its state is `unknown`. */
  readonly behind?: string
  /** What it was last found to make of the header that it is sent; only a trace looks at that. */
  readonly judged?: Judged | undefined
  /** Connections open now, or on their way. */
  readonly active: number
}

/** What a target makes of the header that it is sent, as `doctor` says it. */
export interface Verdict {
  readonly state: 'ok' | 'warning' | 'failed' | 'unknown'
  readonly found: string
  readonly fix: string | undefined
}

export interface Judged extends Pick<Verdict, 'state' | 'found'> {
  readonly since: number
}

/** How a forward does by what its targets do: one that is up is enough. */
export function stateOf(targets: readonly Pick<TargetStatus, 'state'>[]): TargetStatus['state'] {
  if (targets.some(({ state }) => state === 'up')) return 'up'
  return targets.every(({ state }) => state === 'down') ? 'down' : 'unknown'
}
