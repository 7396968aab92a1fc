import type { Balance } from '../config/config.ts'
import type { Target } from './target.ts'

/** Chooses one of several targets, connection after connection. */
export class Balancer {
  /** Where the next turn begins. */
  #turn = 0

  /** By the rule, of those that `may`, and are not among `without`. */
  choose(
    targets: readonly Target[],
    rule: Balance,
    may: (target: Target) => boolean,
    without: readonly Target[] | undefined,
  ): Target | undefined {
    const from = rule === 'first' ? 0 : this.#turn
    let chosen: Target | undefined
    for (let i = 0; i < targets.length; i++) {
      const at = (from + i) % targets.length
      const target = targets[at]!
      if (without?.includes(target) || !may(target)) continue
      if (chosen !== undefined && target.open >= chosen.open) continue
      chosen = target
      this.#turn = at + 1
      if (rule !== 'leastconn') break
    }
    return chosen
  }
}
