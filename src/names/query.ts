import { lookup, Resolver } from 'node:dns/promises'
import { fromHostsFile } from './hosts-file.ts'
import { nameFile } from './name-file.ts'
import { candidates, parseResolvConf } from './resolv-conf.ts'
import { type Known, search } from './search.ts'

/** What a look-up comes to. */
export interface Answer {
  /** As they were given: a mapped one is not un-mapped yet. */
  readonly addresses: readonly string[]
  /** Milliseconds. */
  readonly ttl: number
  /** What name servers said, to be given to the next look-up. */
  readonly known?: Known | undefined
  /** Why there is no new answer: all of it was known before. */
  readonly failure?: string | undefined
}

/** Looks a host up. It need not end by itself: who asks aborts `signal`. */
export type Query = (host: string, known: Known | undefined, signal: AbortSignal) => Promise<Answer>

/** Milliseconds that an answer without a TTL is kept: of the hosts file and of getaddrinfo. */
const untimedTtl = 10_000
/**
 * c-ares in Node looks for late answers once in `timeout` (at most a second), and finds one late at the second look: a
 * server has 1 s, the third question goes out after 2 s.
 */
const patience = { timeout: 500, tries: 3 }

/**
 * The hosts file, then name servers along the search list, then getaddrinfo, which knows what else the host is set up
 * with. Files are read anew each time, so a changed resolv.conf needs no restart.
 *
 * getaddrinfo is asked only when no name server knows the name, or there is none: it asks them itself, and goes on along the
 * search list after a failure.
 */
export const query: Query = async (host, known, signal) => {
  const listed = fromHostsFile(await nameFile('/etc/hosts'), host)
  if (listed.length > 0) return { addresses: listed, ttl: untimedTtl }
  const conf = parseResolvConf(await nameFile('/etc/resolv.conf'))
  const found = conf.hasServer ? await askServers(candidates(host, conf), known, signal) : undefined
  if (found === undefined) return { addresses: await askHost(host), ttl: untimedTtl }
  const { A, AAAA } = found.known
  return { ...found, addresses: [...A, ...AAAA] }
}

async function askServers(names: readonly string[], known: Known | undefined, signal: AbortSignal) {
  const resolver = new Resolver(patience)
  const cancel = () => resolver.cancel()
  signal.addEventListener('abort', cancel)
  try {
    return await search(names, known, (name, type) =>
      type === 'A' ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true }),
    )
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

/** Under way. Each has a thread of the pool until the C library gives up: a host is asked for once at a time. */
const asked = new Map<string, Promise<string[]>>()

function askHost(host: string): Promise<string[]> {
  let answer = asked.get(host)
  if (answer === undefined) {
    answer = lookup(host, { all: true })
      .then(found => found.map(({ address }) => address))
      .finally(() => asked.delete(host))
    asked.set(host, answer)
  }
  return answer
}
