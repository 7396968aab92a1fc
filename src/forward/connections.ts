import type { Connection } from '../connection/connection.ts'
import type { Downstream } from '../connection/downstream.ts'
import type { OpenConnection } from '../connection/owner.ts'
import type { ConnectionStatus } from '../connection/status.ts'

/** The open connections of a forward, and how they end with it. */
export class Connections {
  readonly #open = new Set<OpenConnection>()
  #drain: AbortSignal | undefined
  #drained: PromiseWithResolvers<void> | undefined

  /** @param descriptors that it needs at the most. */
  begin(connection: Connection, downstream: Downstream, descriptors: number): void {
    this.#open.add(connection)
    connection.hold(descriptors)
    downstream.start(connection)
    // Taken by the kernel before its listener was closed.
    if (this.#drain?.aborted) connection.abort()
  }

  ended(connection: OpenConnection): void {
    this.#open.delete(connection)
    connection.hold(0)
    if (this.#open.size === 0) this.#drained?.resolve()
  }

  /** Lets them finish until `signal` is aborted, then resets those that are left. */
  async drain(signal: AbortSignal): Promise<void> {
    this.#drain = signal
    if (this.#open.size === 0) return
    // A forward that was taken out of the config is drained once more with its end.
    this.#drained ??= Promise.withResolvers()
    const abort = () => {
      for (const connection of this.#open) connection.abort()
    }
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    await this.#drained.promise
  }

  /** Ends those that have a connection with this address. */
  cut(address: string, why: string): void {
    for (const connection of [...this.#open]) connection.cut(address, why)
  }

  /** That they are with. */
  get addresses(): string[] {
    return Array.from(this.#open).flatMap(({ addresses }) => addresses)
  }

  /** Ends those whose client or target has gone while it was not read: it would not be heard. */
  look(): void {
    for (const connection of this.#open) connection.look()
  }

  get size(): number {
    return this.#open.size
  }

  status(): ConnectionStatus[] {
    return Array.from(this.#open, connection => connection.status())
  }
}
