/** Milliseconds from one word about a port to the next that is taken. */
const pause = 1000

/**
 * What far ends at one address tell of the targets behind their ports, at a bounded rate: of each port the first word at
 * once (at the end of the turn, with those of others), then one in a second, the last one. Ports that nobody here sends to
 * are not remembered, so whatever is told, and however often, costs a small constant.
 */
export class TargetNews {
  /** Those that are of interest. */
  ports: ReadonlySet<number>
  readonly #take: (states: ReadonlyMap<number, boolean>) => void
  /** By port, the last word that was not taken yet. */
  #heard = new Map<number, boolean>()
  /** Ports that a word was taken of within this pause. */
  readonly #recent = new Set<number>()
  #isScheduled = false
  #timer: NodeJS.Timeout | undefined

  /** @param take gets ports, each with whether a target behind it is up. */
  constructor(ports: ReadonlySet<number>, take: (states: ReadonlyMap<number, boolean>) => void) {
    this.ports = ports
    this.#take = take
  }

  heard(port: number, isUp: boolean): void {
    if (!this.ports.has(port)) return
    this.#heard.set(port, isUp)
    if (this.#isScheduled || this.#recent.has(port)) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  /** What waits is no longer true. */
  forget(): void {
    this.#heard.clear()
  }

  #flush(): void {
    const states = new Map([...this.#heard].filter(([port]) => !this.#recent.has(port)))
    if (states.size === 0) return
    for (const port of states.keys()) {
      this.#heard.delete(port)
      this.#recent.add(port)
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#recent.clear()
      this.#flush()
    }, pause).unref()
    this.#take(states)
  }
}
