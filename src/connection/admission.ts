import { clientNetwork } from '../address.ts'
import type { Limits } from '../config/config.ts'
import { Prefixes } from '../config/prefixes.ts'
import { loopMark } from '../upstream/loop-mark.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Client } from './client.ts'

/**
 * Checks at once that wait for their target's first byte, of all who stand before a forward: each has one at a time. More
 * are one check that goes round.
 */
const mostChecks = 32

/** The way of a connection that says that nobody is behind it. */
export interface Check {
  /** Its target has sent a byte: it has arrived, so it does not go round. */
  readonly isAnswered: boolean
}

export interface Refusal {
  readonly reason: RefusalReason
  readonly detail: string
}

/**
 * Which clients of a forward are let in, by their real address: who they are, how many there are, how fast they come.
 * An end that is reset here has cost nobody else anything. Memory: one entry for each client that is connected.
 */
export class Admission {
  #limits: Limits = {}
  #allowed: Prefixes | undefined
  #denied: Prefixes | undefined
  readonly #now: () => number
  /** Whom to count down when it ends, and connections of each client (IPv6 by /64). */
  readonly #admitted = new Map<object, string>()
  readonly #ofClient = new Map<string, number>()
  /** Connections that may come at once, and when that was true; of a rate, at most one second's worth. */
  #tokens = 0
  #countedAt = 0
  #isGoing = false
  readonly #checks = new Map<object, Check>()

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** From now on these; who is in stays in. */
  configure(limits: Limits): void {
    if (limits.newConnectionsPerSecond !== this.#limits.newConnectionsPerSecond) {
      this.#tokens = limits.newConnectionsPerSecond ?? 0
      this.#countedAt = this.#now()
    }
    this.#limits = limits
    this.#allowed = limits.allow && new Prefixes(limits.allow)
    this.#denied = limits.deny && new Prefixes(limits.deny)
  }

  /** Counts a connection in, as a check or as a client, or says why not. */
  judge(
    who: object,
    { isCheck, source }: Pick<Client, 'isCheck' | 'source'>,
    way: Check,
  ): Refusal | undefined {
    return isCheck ? this.admitCheck(who, way) : this.admit(who, source.address)
  }

  /** Counts `who` in, or says why not. */
  admit(who: object, address: string): Refusal | undefined {
    const { maxConnections, maxConnectionsPerClient, newConnectionsPerSecond } = this.#limits
    if (this.#denied?.has(address)) return { reason: 'denied', detail: `${address} is in deny` }
    if (this.#allowed?.has(address) === false)
      return { reason: 'denied', detail: `${address} is not in allow` }
    if (maxConnections !== undefined && this.#admitted.size >= maxConnections)
      return { reason: 'connection-limit', detail: `maxConnections: ${maxConnections} are open` }
    const client = clientNetwork(address)
    const open = this.#ofClient.get(client) ?? 0
    if (maxConnectionsPerClient !== undefined && open >= maxConnectionsPerClient)
      return { reason: 'client-limit', detail: `maxConnectionsPerClient: ${client} has ${open} open` }
    if (newConnectionsPerSecond !== undefined && !this.#takeToken(newConnectionsPerSecond))
      return { reason: 'rate-limit', detail: `newConnectionsPerSecond: more than ${newConnectionsPerSecond}` }
    this.#admitted.set(who, client)
    this.#ofClient.set(client, open + 1)
    return undefined
  }

  /** The end drains: from now on checks fail, so that who makes them sends the clients elsewhere. */
  goaway(): void {
    this.#isGoing = true
  }

  /** A check is let in whoever makes it. HAProxy, and an end without a link, tell clients without an address like this, too. */
  admitCheck(who: object, check: Check): Refusal | undefined {
    if (this.#isGoing) return { reason: 'draining', detail: 'this end drains, and fails checks' }
    if (this.#checks.size >= mostChecks)
      for (const [other, { isAnswered }] of this.#checks) if (isAnswered) this.#checks.delete(other)
    if (this.#checks.size >= mostChecks)
      return {
        reason: 'loop',
        detail: `${loopMark}${mostChecks} checks at once: they come back here, each for the one before it`,
      }
    this.#checks.set(who, check)
    return undefined
  }

  /** It has ended; nothing when it was never let in. */
  release(who: object): void {
    this.#checks.delete(who)
    const client = this.#admitted.get(who)
    if (client === undefined) return
    this.#admitted.delete(who)
    const open = this.#ofClient.get(client)! - 1
    if (open === 0) this.#ofClient.delete(client)
    else this.#ofClient.set(client, open)
  }

  #takeToken(rate: number): boolean {
    const now = this.#now()
    this.#tokens = Math.min(rate, this.#tokens + ((now - this.#countedAt) / 1000) * rate)
    this.#countedAt = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
