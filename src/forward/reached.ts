import type { Links } from '../link/links.ts'
import type { Forward } from './forward.ts'

/** The addresses that this end has connections and links with, for who watches where data for them leaves. */
export class Reached {
  readonly #links: Links
  readonly #forwards: () => readonly Forward[]

  /** @param forwards also those that only have connections to finish. */
  constructor(links: Links, forwards: () => readonly Forward[]) {
    this.#links = links
    this.#forwards = forwards
  }

  /** Addresses that connections and links are with, or may be at any moment. */
  inUse(): string[] {
    const forwards = this.#forwards()
    const targets = forwards.flatMap(({ upstreams }) => upstreams.targets.map(({ address }) => address))
    const neighbours = forwards.flatMap(({ opened }) => opened.addresses)
    return [...this.#links.addresses, ...targets, ...neighbours]
  }

  /** Resets what is connected with this address, links first: what they would still send is dropped with them. */
  cut(address: string, why: string): void {
    this.#links.cut(address, why)
    for (const { opened } of this.#forwards()) opened.cut(address, why)
  }

  /** What is sent to this address goes through the tunnel again. */
  reopened(address: string): void {
    this.#links.retry(address)
    for (const { upstreams } of this.#forwards()) upstreams.retry(address)
  }
}
