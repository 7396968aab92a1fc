import { Dialler, type DiallerOptions } from './dialler.ts'
import type { Session } from './session.ts'
import { TargetNews } from './target-news.ts'

/** Where lost packets slow TCP down. */
const several = 4
/** Lanes that are dialled ahead, for all links of a bundle together. */
const warmLanes = 8

export interface BundleOptions extends Omit<DiallerOptions, 'lanes' | 'target'> {
  /** Ports that forwards send to. */
  readonly ports: ReadonlySet<number>
  /** The far end tells of some of them whether a target behind it is up. */
  readonly targets: (states: ReadonlyMap<number, boolean>) => void
}

/**
 * The links to one address. One is best where a lost packet does not slow its connection down: all streams leave in the
 * same packets. Where it does (CUBIC), a few share the loss, and a stream waits for the retransmissions of its own only.
 */
export class Bundle {
  readonly address: string
  readonly port: number
  readonly size: number
  readonly news: TargetNews
  readonly #diallers: Dialler[]
  #turn = 0

  constructor(address: string, port: number, size: number, options: BundleOptions) {
    this.address = address
    this.port = port
    this.size = size
    this.news = new TargetNews(options.ports, options.targets)
    const dial = () =>
      new Dialler(address, port, {
        ...options,
        lanes: Math.ceil(warmLanes / size),
        target: (port, isUp) => this.news.heard(port, isUp),
        draining: () => {
          // What it said before it said that it goes.
          this.news.forget()
          options.draining()
        },
        up: () => {
          options.up()
          // The others once the first has shown that there are links at all.
          while (this.#diallers.length < size) this.#diallers.push(dial())
        },
      })
    this.#diallers = [dial()]
  }

  /** A link that takes new streams now; each in turn. */
  get session(): Session | undefined {
    const { length } = this.#diallers
    for (let i = 0; i < length; i++) {
      this.#turn = (this.#turn + 1) % length
      const { session } = this.#diallers[this.#turn]!
      if (session !== undefined) return session
    }
    return undefined
  }

  get diallers(): readonly Dialler[] {
    return this.#diallers
  }

  /** The path has come back: what failed may succeed now. */
  retry(): void {
    for (const dialler of this.#diallers) dialler.retry()
  }

  /** Dials no more. Links end with their last stream. */
  close(): void {
    for (const dialler of this.#diallers) dialler.close()
  }
}

/** How many links to a peer are best with this congestion control: BBR does not take a lost packet for a full path. */
export function linksFor(congestionControl: string): number {
  return /^bbr/.test(congestionControl) ? 1 : several
}
