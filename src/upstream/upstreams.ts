import { formatHostPorts } from '../address.ts'
import type { ForwardConfig, UpstreamConfig } from '../config/config.ts'
import { ServerNames } from './server-names.ts'
import type { TargetStatus } from './status.ts'
import type { Target } from './target.ts'
import { Upstream, type UpstreamOptions } from './upstream.ts'

/** Where a forward sends: its own upstream, and those of its routes. Equal ones are one, tried and counted once. */
export class Upstreams {
  readonly own: Upstream
  readonly #options: UpstreamOptions
  /** Each with the names of its routes; its own may have none. */
  #names = new Map<Upstream, readonly string[]>()
  #routes: ServerNames<Upstream> | undefined
  #isChanging = false

  constructor(options: UpstreamOptions) {
    const changed = (upstream: Upstream) => {
      if (!this.#isChanging) options.changed(upstream)
    }
    this.#options = { ...options, changed }
    this.own = new Upstream(this.#options)
  }

  /** From now on these. What stays keeps what is known of it. */
  configure({ upstream, routes }: Pick<ForwardConfig, 'upstream' | 'routes'>): void {
    const before = new Map([...this.#names].flatMap(([known, names]) => names.map(name => [name, known])))
    const wanted = new Map<string, { config: UpstreamConfig; names: string[] }>()
    for (const { name, upstream: config } of routes) {
      const text = textOf(config)
      const same = wanted.get(text)
      if (same === undefined) wanted.set(text, { config, names: [name] })
      else same.names.push(name)
    }
    const own = textOf(upstream)
    const after = new Map([[this.own, { config: upstream, names: wanted.get(own)?.names ?? [] }]])
    wanted.delete(own)
    for (const { config, names } of wanted.values()) {
      const kept = names.map(name => before.get(name)).find(known => known !== undefined && !after.has(known))
      after.set(kept ?? new Upstream(this.#options), { config, names })
    }
    for (const known of this.#names.keys()) if (!after.has(known)) known.close()
    this.#names = new Map([...after].map(([one, { names }]) => [one, names]))
    const entries = [...after].flatMap(([one, { names }]) => names.map(name => [name, one] as const))
    this.#routes = entries.length === 0 ? undefined : new ServerNames(entries)
    // Each tells of the change. It is passed on once, when it can be seen as a whole.
    this.#isChanging = true
    for (const [one, { config }] of after) one.configure(config)
    this.#isChanging = false
    this.#options.changed(this.own)
  }

  close(): void {
    for (const one of this.#names.keys()) one.close()
  }

  /** Whether a client's first bytes decide. */
  get areByName(): boolean {
    return this.#routes !== undefined
  }

  /** Where a client goes that asks for this server, or for none; `undefined` where no route has the name and there is nothing else. */
  of(serverName: string | undefined): Upstream | undefined {
    const route = serverName === undefined ? undefined : this.#routes?.find(serverName)
    return route ?? (this.own.isEmpty ? undefined : this.own)
  }

  /** Where a client goes that has no first bytes to judge by, a check: where it can be served, if there is such a place. */
  get any(): Upstream {
    if (!this.own.isEmpty) return this.own
    return this.#used.find(({ isDown }) => !isDown) ?? this.#used[0] ?? this.own
  }

  /** Of all of them. */
  get targets(): readonly Target[] {
    return this.#names.size < 2 ? this.own.targets : this.#used.flatMap(({ targets }) => targets)
  }

  retry(address: string): void {
    for (const one of this.#names.keys()) one.retry(address)
  }

  drains(address: string): void {
    for (const one of this.#names.keys()) one.drains(address)
  }

  told(address: string, states: ReadonlyMap<number, boolean>): void {
    for (const one of this.#names.keys()) one.told(address, states)
  }

  areServed(): boolean {
    return this.#used.some(one => one.isServed())
  }

  /** Nobody who comes could be served, for certain. */
  get areDead(): boolean {
    const used = this.#used
    return used.length > 0 && used.every(({ isDead }) => isDead)
  }

  /** No client could be served. */
  get areDown(): boolean {
    return this.#used.every(({ isDown }) => isDown)
  }

  /** Those without a target that takes connections, each with what there is to say of it. */
  get failures(): string[] {
    return this.#used
      .filter(({ isDown }) => isDown)
      .map(one => {
        const names = one === this.own ? '' : ` for ${this.#names.get(one)!.join(', ')}`
        return `no target${names} takes connections (${one.why})`
      })
  }

  status(): TargetStatus[] {
    return this.#used.flatMap(one => {
      const routes = this.#names.get(one)!
      return routes.length === 0 ? one.status() : one.status().map(target => ({ ...target, routes }))
    })
  }

  get #used(): Upstream[] {
    return [...this.#names.keys()].filter(one => !one.isEmpty)
  }
}

function textOf({ targets }: UpstreamConfig): string {
  return targets.map(formatHostPorts).join(' ')
}
