import type { ForwardConfig } from '../config/config.ts'
import type { Reason } from '../reason.ts'
import { Deadlines } from './deadlines.ts'
import { Forward, type ForwardOptions } from './forward.ts'
import { Listener } from './listener.ts'
import type { ConnectionStatus, ForwardStatus } from './status.ts'

/** A change that is prepared: new listeners are bound, nothing else has happened. Exactly one of the two is called. */
export interface Change {
  commit(): void
  rollback(): Promise<void>
}

/** Where a forward wants connections from, and the port of its target that they go to. */
interface Wanted {
  readonly host: string
  readonly port: number
  readonly targetPort: number
  readonly name: string
}

/**
 * The forwards of one end.
 *
 * Each client connection becomes one connection to the target, with a PROXY header in front where the forward sends
 * one. What this does not do: no TLS, no HTTP, no retry once a byte has been sent, no address without a header.
 */
export class Forwarder {
  readonly #options: ForwardOptions
  readonly #deadlines = new Deadlines()
  /** By name. */
  #forwards = new Map<string, Forward>()
  /** Taken out of the config, with connections that still run. */
  readonly #retired = new Set<Forward>()
  /** By address and port. */
  readonly #listeners = new Map<string, Listener>()

  constructor(options: Omit<ForwardOptions, 'deadlines'>) {
    this.#options = { ...options, deadlines: this.#deadlines }
  }

  /**
   * Binds what `configs` wants beyond what is bound already; `tunnel` stands for `tunnelAddresses`. With the first
   * address that cannot be had it takes everything back and rejects with `LISTEN_FAILED`. On `commit` forwards change
   * to their new config, with their listeners and connections kept; those left out get `drainTimeout` ms to finish.
   */
  async prepare(
    configs: readonly ForwardConfig[],
    tunnelAddresses: readonly string[],
    drainTimeout: number,
  ): Promise<Change> {
    const wanted = configs.flatMap(config => wantedBy(config, tunnelAddresses))
    const keys = new Set(wanted.map(keyOf))
    const obsolete = [...this.#listeners.values()].filter(listener => !keys.has(keyOf(listener)))
    const forwards = new Map(
      configs.map(config => [
        config.name,
        this.#forwards.get(config.name) ?? new Forward(config, tunnelAddresses, this.#options),
      ]),
    )
    const opened: Listener[] = []
    const closed: Listener[] = []
    const rollback = async () => {
      for (const listener of opened) listener.close()
      for (const listener of closed) await listener.open()
    }
    try {
      for (const { host, port, targetPort, name } of wanted) {
        if (this.#listeners.has(keyOf({ host, port }))) continue
        // `:80` and `192.0.2.1:80` exclude each other: what goes makes room for what comes.
        for (const listener of obsolete) {
          if (listener.port !== port || closed.includes(listener)) continue
          listener.close()
          closed.push(listener)
        }
        const listener = new Listener(host, port, forwards.get(name)!, targetPort)
        await listener.open()
        opened.push(listener)
      }
    } catch (error) {
      await rollback()
      throw error
    }
    const commit = () => {
      for (const listener of obsolete) {
        listener.close()
        this.#listeners.delete(keyOf(listener))
      }
      for (const listener of opened) this.#listeners.set(keyOf(listener), listener)
      for (const { targetPort, name, ...address } of wanted)
        this.#listeners.get(keyOf(address))?.assign(forwards.get(name)!, targetPort)
      for (const config of configs) forwards.get(config.name)?.configure(config, tunnelAddresses)
      for (const [name, forward] of this.#forwards)
        if (!forwards.has(name)) this.#retire(forward, drainTimeout)
      this.#forwards = forwards
    }
    return { commit, rollback }
  }

  #retire(forward: Forward, drainTimeout: number): void {
    this.#retired.add(forward)
    void forward.drain(AbortSignal.timeout(drainTimeout)).then(() => this.#retired.delete(forward))
  }

  /** Stops listening at once, and is done when every connection has ended; those that live when `signal` aborts are reset. */
  async drain(signal: AbortSignal): Promise<void> {
    for (const listener of this.#listeners.values()) listener.close()
    this.#listeners.clear()
    await Promise.all(this.#all().map(forward => forward.drain(signal)))
    this.#deadlines.close()
  }

  /** Open connections. */
  get active(): number {
    return this.#all().reduce((sum, forward) => sum + forward.active, 0)
  }

  status(): ForwardStatus[] {
    return Array.from(this.#forwards.values(), forward => forward.status())
  }

  connections(): ConnectionStatus[] {
    return this.#all().flatMap(forward => forward.connections())
  }

  reasons(): Reason[] {
    return Array.from(this.#forwards.values(), forward => forward.reasons()).flat()
  }

  #all(): Forward[] {
    return [...this.#forwards.values(), ...this.#retired]
  }
}

function wantedBy({ name, listen, target }: ForwardConfig, tunnelAddresses: readonly string[]): Wanted[] {
  const hosts = listen.host === 'tunnel' ? tunnelAddresses : [listen.host]
  const ports = Array.from({ length: listen.last - listen.first + 1 }, (_, i) => listen.first + i)
  return hosts.flatMap(host =>
    ports.map(port => ({ host, port, targetPort: target.first + port - listen.first, name })),
  )
}

function keyOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host} ${port}`
}
