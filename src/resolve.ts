import { Resolver as DnsResolver, lookup as getaddrinfo } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { EndError, messageOf } from './errors.ts'

/**
 * Names to addresses, as long as DNS says they hold.
 *
 * Order: the hosts file, then A and AAAA along the search list of resolv.conf (their TTL decides how long the answer
 * is kept), then getaddrinfo, which knows what else the host is set up with but tells no TTL. Files and name servers
 * are read anew at each query, so a changed resolv.conf needs no restart. While DNS fails the last good answer is kept.
 */
export interface ResolveOptions {
  /** Ask again, although an answer is at hand (an address of it did not answer). */
  readonly refresh?: boolean
  /** Whether the last good answer will do while DNS fails (default), however long an answer takes; or only a new one. */
  readonly lastGood?: boolean
}

interface Answer {
  readonly addresses: readonly string[]
  /** Milliseconds. */
  readonly ttl: number
}

interface Entry {
  good: readonly string[] | undefined
  error: EndError | undefined
  expires: number
  query: Promise<void> | undefined
}

/** How long an answer without a TTL is kept: hosts file and getaddrinfo. */
const untimedTtl = 10_000
/** A TTL of 0 would be a query per connection. */
const leastTtl = 1_000
/** How long a failure is kept, so that a flood of connections is not a flood of queries. */
const failureTtl = 1_000
/** How long who has an old answer waits for a new one. */
const patience = 300

export class Names {
  readonly #query: (host: string) => Promise<Answer>
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()

  constructor(options: { query?: (host: string) => Promise<Answer>; now?: () => number } = {}) {
    this.#query = options.query ?? queryHost
    this.#now = options.now ?? Date.now
  }

  /** All addresses of `host`, IPv4 and IPv6 alternating; a literal is its own. Rejects with `UNRESOLVED`. */
  async resolve(
    host: string,
    { refresh = false, lastGood = true }: ResolveOptions = {},
  ): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host]
    let entry = this.#entries.get(host)
    if (entry === undefined) {
      entry = { good: undefined, error: undefined, expires: 0, query: undefined }
      this.#entries.set(host, entry)
    }
    if (refresh || this.#now() >= entry.expires) {
      entry.query ??= this.#update(host, entry)
      await (entry.good !== undefined && lastGood ? orPatience(entry.query) : entry.query)
    }
    if (entry.good !== undefined && (lastGood || entry.error === undefined)) return entry.good
    throw entry.error ?? unresolved(host, 'no answer')
  }

  async #update(host: string, entry: Entry): Promise<void> {
    try {
      const { addresses, ttl } = await this.#query(host)
      entry.good = addresses
      entry.error = undefined
      entry.expires = this.#now() + Math.max(ttl, leastTtl)
    } catch (error) {
      entry.error = unresolved(host, messageOf(error))
      entry.expires = this.#now() + failureTtl
    } finally {
      entry.query = undefined
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

async function queryHost(host: string): Promise<Answer> {
  const listed = fromHostsFile(await readFile('/etc/hosts', 'utf8').catch(() => ''), host)
  if (listed.length > 0) return { addresses: listed, ttl: untimedTtl }
  const dns = await queryDns(host, await readFile('/etc/resolv.conf', 'utf8').catch(() => ''))
  if (dns !== undefined) return dns
  const found = await getaddrinfo(host, { all: true })
  return { addresses: alternate(found.map(answer => answer.address)), ttl: untimedTtl }
}

/** The addresses that a hosts file gives a name, in its order; hosts(5). */
export function fromHostsFile(text: string, host: string): string[] {
  const name = host.toLowerCase()
  const found: string[] = []
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (isIP(address) !== 0 && names.some(alias => alias.toLowerCase() === name)) found.push(address)
  }
  return alternate([...new Set(found)])
}

/** The names to ask for, in order, by `search` and `ndots`; resolv.conf(5). */
export function candidates(host: string, resolvConf: string): string[] {
  if (host.endsWith('.')) return [host.slice(0, -1)]
  let search: string[] = []
  let ndots = 1
  for (const line of resolvConf.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'search' || keyword === 'domain') search = words.filter(domain => domain !== '.')
    if (keyword !== 'options') continue
    for (const word of words) if (/^ndots:\d+$/.test(word)) ndots = Math.min(Number(word.slice(6)), 15)
  }
  const along = search.map(domain => `${host}.${domain.replace(/\.$/, '')}`)
  return host.split('.').length - 1 >= ndots ? [host, ...along] : [...along, host]
}

async function queryDns(host: string, resolvConf: string): Promise<Answer | undefined> {
  const resolver = new DnsResolver({ timeout: 1_000, tries: 2 })
  for (const name of candidates(host, resolvConf)) {
    const answers = await Promise.allSettled([
      resolver.resolve4(name, { ttl: true }),
      resolver.resolve6(name, { ttl: true }),
    ])
    const records = answers.flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []))
    if (records.length > 0) {
      const ttl = Math.min(...records.map(record => record.ttl)) * 1_000
      return { addresses: alternate(records.map(record => record.address)), ttl }
    }
  }
  return undefined
}

/** IPv4 and IPv6 by turns, so that the second attempt is of the other family (RFC 8305 section 4). */
function alternate(addresses: readonly string[]): string[] {
  const v4 = addresses.filter(address => isIP(address) === 4)
  const v6 = addresses.filter(address => isIP(address) === 6)
  const longer = Math.max(v4.length, v6.length)
  return Array.from({ length: longer }, (_, i) => [v4[i], v6[i]])
    .flat()
    .filter(address => address !== undefined)
}
