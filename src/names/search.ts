import type { RecordWithTtl } from 'node:dns'
import { messageOf, systemCode } from '../errors.ts'

/** Asks name servers for the records of one type; rejects with a code of c-ares. */
export type Ask = (name: string, type: 'A' | 'AAAA') => Promise<readonly RecordWithTtl[]>

/** The addresses of the name that a host stands for, as each record type was last answered. */
export interface Known {
  /** Of the search list. */
  readonly name: string
  readonly A: readonly string[]
  readonly AAAA: readonly string[]
}

export interface Found {
  readonly known: Known
  /** Milliseconds. */
  readonly ttl: number
  /** Why there is no new answer: all of it was known before. */
  readonly failure: string | undefined
}

/** What name servers say of one record type of a name. */
type Answer =
  | { readonly is: 'found'; readonly addresses: readonly string[]; readonly ttl: number }
  /** There is no such name; or there is, without a record of this type (NODATA, RFC 2308 section 2.2). */
  | { readonly is: 'no-name' | 'no-data' }
  | { readonly is: 'failure'; readonly why: string }

/** Milliseconds after which a type that failed is asked for again beside one that did not. */
const partialTtl = 10_000

/**
 * The first of these names that has addresses; `undefined` when none of them has.
 *
 * Only an answer leads on to the next name: that there is no such name, or none of these types. A failure, or silence,
 * does not: the name may be there, and the next one is another service. musl stops there, too; glibc goes on after
 * SERVFAIL. Where a type fails, what is known of it stays, whatever is heard of the other one. A name that had addresses
 * and is there without one (a Service whose pods are gone) leads nowhere either.
 *
 * @throws Error that says which name failed, and how.
 */
export async function search(
  names: readonly string[],
  known: Known | undefined,
  ask: Ask,
): Promise<Found | undefined> {
  for (const name of names) {
    const before = known?.name === name ? known : undefined
    const [a, aaaa] = await Promise.all([answerOf(ask, name, 'A'), answerOf(ask, name, 'AAAA')])
    const answers = [a, aaaa]
    const failures = answers.flatMap(answer => (answer.is === 'failure' ? [answer.why] : []))
    const ttls = answers.flatMap(answer => (answer.is === 'found' ? [answer.ttl] : []))
    const now = { name, A: addressesOf(a, before?.A), AAAA: addressesOf(aaaa, before?.AAAA) }
    const failure = failures.length === 0 ? undefined : `${name}: ${[...new Set(failures)].join(', ')}`
    if (ttls.length > 0) {
      const ttl = Math.min(...ttls)
      return { known: now, ttl: failure === undefined ? ttl : Math.min(ttl, partialTtl), failure: undefined }
    }
    if (failure !== undefined) {
      if (now.A.length + now.AAAA.length === 0) throw new Error(failure)
      return { known: now, ttl: 0, failure }
    }
    if (before !== undefined && answers.some(({ is }) => is === 'no-data'))
      throw new Error(`${name}: it is there, and has no address now`)
  }
  return undefined
}

function addressesOf(answer: Answer, before: readonly string[] = []): readonly string[] {
  if (answer.is === 'found') return answer.addresses
  return answer.is === 'failure' ? before : []
}

async function answerOf(ask: Ask, name: string, type: 'A' | 'AAAA'): Promise<Answer> {
  try {
    const records = await ask(name, type)
    if (records.length === 0) return { is: 'no-data' }
    const ttl = Math.min(...records.map(record => record.ttl)) * 1000
    return { is: 'found', addresses: records.map(({ address }) => address), ttl }
  } catch (error) {
    const code = systemCode(error)
    // A name that cannot be written in a question is not there.
    if (code === 'ENOTFOUND' || code === 'EBADNAME') return { is: 'no-name' }
    if (code === 'ENODATA') return { is: 'no-data' }
    return { is: 'failure', why: said[code ?? ''] ?? code ?? messageOf(error) }
  }
}

/** Codes of c-ares in the words of RFC 1035 section 4.1.1, where there are any. */
const said: Record<string, string> = {
  ESERVFAIL: 'SERVFAIL',
  EREFUSED: 'REFUSED',
  ENOTIMP: 'NOTIMP',
  EFORMERR: 'FORMERR',
  ETIMEOUT: 'no answer',
  ECANCELLED: 'no answer',
}
