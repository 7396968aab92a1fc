import type { Forward } from './forward.ts'
import type { Listeners } from './listeners.ts'
import type { Routes } from './routes.ts'

/** Lets clients in where somebody may serve them; else the kernel refuses them, which a check by TCP sees. */
export class Doors {
  readonly #listeners: Listeners
  readonly #routes: Routes
  readonly #forwards: () => Iterable<Forward>
  /** Those that nobody could be served by. */
  #dead: ReadonlySet<Forward> = new Set()
  #isScheduled = false

  constructor(listeners: Listeners, routes: Routes, forwards: () => Iterable<Forward>) {
    this.#listeners = listeners
    this.#routes = routes
    this.#forwards = forwards
  }

  /** Whether clients of this forward are refused now. */
  areShutFor(forward: Forward): boolean {
    return this.#dead.has(forward)
  }

  /** Sets them once for all that changes in one turn: a far end may tell of every port at once. */
  setSoon(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.set())
  }

  set(): void {
    this.#isScheduled = false
    this.#dead = new Set([...this.#forwards()].filter(({ isDead }) => isDead))
    for (const [key, route] of this.#routes.entries())
      if (route !== 'link' && this.#dead.has(route.forward)) this.#listeners.of(key)?.shut()
      else this.#listeners.of(key)?.reopen()
  }
}
