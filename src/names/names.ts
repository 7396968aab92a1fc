import { isIP } from 'node:net'
import { canonical, familyOf } from '../address.ts'
import { EndError, messageOf } from '../errors.ts'
import { type Query, query } from './query.ts'
import type { Known } from './search.ts'

export interface ResolveOptions {
  /** Ask again, although an answer is at hand (an address of it did not answer). */
  readonly refresh?: boolean
  /** Whether the last good answer will do while DNS fails (default), however long an answer takes; or only a new one. */
  readonly lastGood?: boolean
}

interface Entry {
  good: readonly string[] | undefined
  known: Known | undefined
  error: EndError | undefined
  /** On the clock of `now`. */
  expires: number
  query: Promise<void> | undefined
}

/** Milliseconds. A TTL of 0 would be a query per connection. */
const leastTtl = 1_000
/** Milliseconds that a failure is kept, so that a flood of connections is not a flood of queries. */
const failureTtl = 1_000
/** Milliseconds that who has an old answer waits for a new one. */
const patience = 300
/** Milliseconds of a whole look-up: all names of the search list, all name servers, all tries. */
const budget = 4_000
/** Milliseconds that a look-up has to end once its time is over. */
const farewell = 100

/**
 * Names to addresses, as long as DNS says they hold. IPv4-mapped addresses are un-mapped, whoever gave them. While a
 * look-up fails the last good answer is kept, for each record type by itself.
 */
export class Names {
  readonly #query: Query
  readonly #now: () => number
  readonly #budget: number
  readonly #entries = new Map<string, Entry>()

  /** @param options.now milliseconds of a clock that nobody sets. */
  constructor(options: { query?: Query; now?: () => number; budget?: number } = {}) {
    this.#query = options.query ?? query
    this.#now = options.now ?? (() => performance.now())
    this.#budget = options.budget ?? budget
  }

  /** All addresses of `host`, IPv4 and IPv6 by turns; a literal is its own. Rejects with `UNRESOLVED`. */
  async resolve(
    host: string,
    { refresh = false, lastGood = true }: ResolveOptions = {},
  ): Promise<readonly string[]> {
    if (isIP(host) !== 0) return literal(host)
    let entry = this.#entries.get(host)
    if (entry === undefined) {
      entry = {
        good: undefined,
        known: undefined,
        error: undefined,
        expires: Number.NEGATIVE_INFINITY,
        query: undefined,
      }
      this.#entries.set(host, entry)
    }
    if (refresh || this.#now() >= entry.expires) {
      entry.query ??= this.#update(host, entry)
      await (entry.good !== undefined && lastGood ? orPatience(entry.query) : entry.query)
    }
    if (entry.good !== undefined && (lastGood || entry.error === undefined)) return entry.good
    throw entry.error ?? unresolved(host, 'no answer')
  }

  /** What `host` stands for as far as is known, without asking anybody; a literal is its own. */
  known(host: string): readonly string[] {
    return isIP(host) !== 0 ? literal(host) : (this.#entries.get(host)?.good ?? [])
  }

  async #update(host: string, entry: Entry): Promise<void> {
    try {
      const { addresses, ttl, known, failure } = await this.#within(signal =>
        this.#query(host, entry.known, signal),
      )
      const found = byTurns(addresses)
      if (found.length === 0) throw new Error('no address that can be used')
      entry.good = found
      entry.known = known
      entry.error = failure === undefined ? undefined : unresolved(host, failure)
      entry.expires = this.#now() + Math.max(ttl, leastTtl)
    } catch (error) {
      entry.error = unresolved(host, messageOf(error))
      entry.expires = this.#now() + failureTtl
    } finally {
      entry.query = undefined
    }
  }

  async #within<T>(look: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController()
    const late = Promise.withResolvers<never>()
    const end = () => late.reject(new Error(`no answer within ${this.#budget} ms`))
    let timer = setTimeout(() => {
      // One type may have been answered.
      stop.abort()
      timer = setTimeout(end, farewell)
    }, this.#budget)
    try {
      return await Promise.race([look(stop.signal), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}

function unresolved(host: string, why: string): EndError {
  return new EndError('UNRESOLVED', `no address for ${host} (${why})`, {
    fix: 'Check the name, and that the name servers in /etc/resolv.conf answer',
  })
}

async function orPatience(query: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([query, new Promise(resolve => (timer = setTimeout(resolve, patience)))])
  clearTimeout(timer)
}

/** An address is its own, in canonical form; none with a zone. */
function literal(host: string): string[] {
  return familyOf(host) === 0 ? [] : [canonical(host)]
}

/**
 * Each once, in canonical form, IPv4 and IPv6 by turns, so that the second attempt is of the other family (RFC 8305
 * section 4).
 */
function byTurns(given: readonly string[]): string[] {
  const addresses = [...new Set(given.filter(address => familyOf(address) !== 0).map(canonical))]
  const v4 = addresses.filter(address => familyOf(address) === 4)
  const v6 = addresses.filter(address => familyOf(address) === 6)
  const longer = Math.max(v4.length, v6.length)
  return Array.from({ length: longer }, (_, i) => [v4[i], v6[i]])
    .flat()
    .filter(address => address !== undefined)
}
