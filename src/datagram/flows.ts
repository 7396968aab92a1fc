import { clientNetwork } from '../address.ts'

/** Milliseconds between two uses of a flow that count as one. */
const grain = 100

/** A flow, as far as its place among the others is concerned. Times are on performance.now()'s clock. */
export interface Placed {
  readonly key: string
  /** The client's. */
  readonly address: string
  usedAt: number
  /** When it was moved to its place last. */
  movedAt: number
}

/**
 * The flows of a forward, by key, the one that has been idle longest first, and so those of each client (IPv6 by /64). A
 * datagram moves its flow at most every tenth of a second, which is as exact as the order is.
 */
export class Flows<T extends Placed> {
  /** In order: a Map keeps that of insertion. */
  readonly #byKey = new Map<string, T>()
  readonly #ofClient = new Map<string, Map<string, T>>()

  get size(): number {
    return this.#byKey.size
  }

  values(): Iterable<T> {
    return this.#byKey.values()
  }

  get(key: string): T | undefined {
    return this.#byKey.get(key)
  }

  /** Finds a flow that is used now. */
  use(key: string, now: number): T | undefined {
    const flow = this.#byKey.get(key)
    if (flow !== undefined) this.used(flow, now)
    return flow
  }

  used(flow: T, now: number): void {
    flow.usedAt = now
    if (now - flow.movedAt > grain) this.add(flow, now)
  }

  /** A new one, or one that moves to the end. */
  add(flow: T, now: number): void {
    const { key } = flow
    flow.usedAt = flow.movedAt = now
    this.#byKey.delete(key)
    this.#byKey.set(key, flow)
    const network = clientNetwork(flow.address)
    const others = this.#ofClient.get(network) ?? new Map<string, T>()
    others.delete(key)
    others.set(key, flow)
    this.#ofClient.set(network, others)
  }

  /** Whether it was one of them. */
  delete(flow: T): boolean {
    if (this.#byKey.get(flow.key) !== flow) return false
    this.#byKey.delete(flow.key)
    const network = clientNetwork(flow.address)
    const others = this.#ofClient.get(network)!
    others.delete(flow.key)
    if (others.size === 0) this.#ofClient.delete(network)
    return true
  }

  /** The one that has been idle longest, of all. */
  get idlest(): T | undefined {
    return this.#byKey.values().next().value
  }

  /** As many as this client has, and the one of them that has been idle longest. */
  of(address: string): { readonly size: number; readonly idlest: T | undefined } {
    const others = this.#ofClient.get(clientNetwork(address))
    return { size: others?.size ?? 0, idlest: others?.values().next().value }
  }

  /** Those that nothing has used for so many milliseconds, as exactly as the order is. */
  *idle(now: number, ms: number): Iterable<T> {
    for (const flow of this.#byKey.values()) {
      // Whoever was moved later was used later.
      if (now - flow.movedAt <= ms) return
      if (now - flow.usedAt > ms) yield flow
    }
  }
}
