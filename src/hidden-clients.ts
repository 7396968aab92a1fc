import { unmap } from './address.ts'
import type { Log } from './log/log.ts'

/**
 * Warns, once, when a client comes from this host's own default gateway: in a container that is the bridge, from where
 * docker-proxy sends on what it accepted itself (IPv6 clients of an IPv4-only bridge), and all clients look alike.
 */
export class HiddenClients {
  readonly #gateways: Set<string>
  readonly #log: Log

  constructor(gateways: readonly string[], log: Log) {
    this.#gateways = new Set(gateways)
    this.#log = log
  }

  seen(address: string): void {
    if (this.#gateways.size === 0) return
    const client = unmap(address)
    if (!this.#gateways.has(client)) return
    this.#gateways.clear()
    this.#log.warn(
      { client, fix: 'run the container with --network host, or give the bridge IPv6' },
      "a client has the address of this host's own gateway; behind docker-proxy all have it",
    )
  }
}
