import type { ForwardConfig } from '../config/config.ts'
import type { Reason } from '../reason.ts'
import { Deadlines } from './deadlines.ts'
import { Forward, type ForwardOptions } from './forward.ts'
import type { ConnectionStatus, ForwardStatus } from './status.ts'

/**
 * The forwards of one end.
 *
 * Each client connection becomes one connection to the target, with a PROXY header in front where the forward sends
 * one. What this does not do: no TLS, no HTTP, no retry once a byte has been sent, no address without a header.
 */
export class Forwarder {
  readonly #deadlines = new Deadlines()
  readonly #forwards: readonly Forward[]

  constructor(forwards: readonly ForwardConfig[], options: Omit<ForwardOptions, 'deadlines'>) {
    this.#forwards = forwards.map(config => new Forward(config, { ...options, deadlines: this.#deadlines }))
  }

  /** Binds all listeners, one after the other; the first that cannot be had rejects with `LISTEN_FAILED`. */
  async listen(tunnelAddresses: readonly string[]): Promise<void> {
    for (const forward of this.#forwards) await forward.listen(tunnelAddresses)
  }

  /** Stops listening at once, and is done when every connection has ended; those that live when `signal` aborts are reset. */
  async drain(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#forwards.map(forward => forward.drain(signal)))
    this.#deadlines.close()
  }

  get active(): number {
    return this.#forwards.reduce((sum, forward) => sum + forward.active, 0)
  }

  status(): ForwardStatus[] {
    return this.#forwards.map(forward => forward.status())
  }

  connections(): ConnectionStatus[] {
    return this.#forwards.flatMap(forward => forward.connections())
  }

  reasons(): Reason[] {
    return this.#forwards.flatMap(forward => forward.reasons())
  }
}
