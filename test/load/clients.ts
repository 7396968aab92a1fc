import type { Arrivals, ArrivalsOptions } from '../lab/arrivals.ts'
import type { Host } from '../lab/lab.ts'
import type { Target, Transfer } from '../lab/load.ts'

/** Clients on one host that come all the time, and the service that they want, on others. */
export class Clients {
  readonly #host: Host
  readonly #name: string

  private constructor(host: Host, name: string) {
    this.#host = host
    this.#name = name
  }

  /** They come from now on. */
  static async come(host: Host, options: Omit<ArrivalsOptions, 'patience'>): Promise<Clients> {
    const name = `arrivals ${options.host}`
    await host.run(
      async ({ module, name, options }, { state }) => {
        state.set(name, new (await import(module)).Arrivals(options))
      },
      { module: moduleOf('arrivals.ts'), name, options: { ...options, patience: 15_000 } },
    )
    return new Clients(host, name)
  }

  /** One more, that takes `bytes` slowly. */
  async download(bytes: number): Promise<void> {
    await this.#host.run(({ name, bytes }, { state }) => (state.get(name) as Arrivals).download(bytes), {
      name: this.#name,
      bytes,
    })
  }

  /** No more come; gives all that came, short ones and downloads. */
  async finish(): Promise<{ short: Transfer[]; long: Transfer[] }> {
    return this.#host.run(async (name, { state }) => (state.get(name) as Arrivals).finish(), this.#name)
  }
}

/** The service, on 127.0.0.1:9000. */
export async function startTarget(host: Host): Promise<void> {
  await host.run(async (module, { state }) => {
    const target: Target = new (await import(module)).Target(9000)
    await target.start()
    state.set('target', target)
  }, moduleOf('load.ts'))
}

function moduleOf(name: string): string {
  return new URL(`../lab/${name}`, import.meta.url).href
}
