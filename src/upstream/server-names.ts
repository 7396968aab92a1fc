/**
 * What belongs to a server name: that of the name itself, else that of the nearest `*.` above it. A wildcard stands for
 * one label or more, as in nginx; not for the name below its star.
 */
export class ServerNames<T> {
  readonly #exact = new Map<string, T>()
  readonly #below = new Map<string, T>()

  /** @param entries by route name, as the config has them: canonical. */
  constructor(entries: Iterable<readonly [name: string, value: T]>) {
    for (const [name, value] of entries)
      if (name.startsWith('*.')) this.#below.set(name.slice(2), value)
      else this.#exact.set(name, value)
  }

  /** @param name canonical. */
  find(name: string): T | undefined {
    const exact = this.#exact.get(name)
    if (exact !== undefined || this.#below.size === 0) return exact
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      const found = this.#below.get(name.slice(dot + 1))
      if (found !== undefined) return found
    }
    return undefined
  }
}
