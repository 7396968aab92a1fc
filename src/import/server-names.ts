import { parseRouteName } from '../config/server-name.ts'
import { areValues } from './words.ts'

/** Names of TLS SNI: `req.ssl_sni -i www.example.com`, `req.ssl_sni -m end .example.com`, `req.ssl_sni,lower …`. */

/** Names that a connection may ask for, as a criterion. */
export interface NameCriterion {
  readonly kind: 'name'
  /** Those with `*.` in front stand for all below one. */
  readonly values: readonly string[]
  readonly lines: readonly number[]
  /** What there is to warn of where it is used. */
  readonly remark: string | undefined
}

const fetches = ['req.ssl_sni', 'req_ssl_sni', 'req.ssl_sni,lower', 'req_ssl_sni,lower']

export function isServerName(fetch: string | undefined): fetch is string {
  return fetch !== undefined && fetches.includes(fetch)
}

/** `undefined` for a match that a forward does not have; `problem`: why nobody could ask for such names. */
export function readNames(
  fetch: string,
  words: readonly string[],
  line: number,
): NameCriterion | { readonly problem: string } | undefined {
  const match = readMatch(words)
  if (match === undefined || !areValues(match.values)) return undefined
  const { isEnd, values } = match
  // Without a dot in front, the end of a name is also that of quite other names.
  if (isEnd && values.some(value => !value.startsWith('.'))) return undefined
  const names = isEnd ? values.map(value => `*${value}`) : values
  if (names.some(name => parseRouteName(name) === undefined)) return undefined
  const star = isEnd ? undefined : values.find(value => value.startsWith('*'))
  if (star !== undefined)
    return {
      problem: `${star} is a name like any other to HAProxy, and never asked for; write -m end ${star.slice(1)} for all names below it`,
    }
  const isLowered = fetch.endsWith(',lower')
  const dotted = values.find(value => value.endsWith('.'))
  if (dotted !== undefined)
    return { problem: `${dotted} is never asked for, as clients leave out the dot at its end; leave it out` }
  const capital = match.isFolded ? undefined : values.find(value => /[A-Z]/.test(value))
  if (capital !== undefined)
    return {
      problem: `${capital} is never asked for in capitals, which HAProxy minds without -i; write -i, or ${capital.toLowerCase()}`,
    }
  const remark =
    match.isFolded || isLowered
      ? undefined
      : 'found a server name without -i: HAProxy sends who asks for it in capitals elsewhere, a forward knows no capitals'
  return { kind: 'name', values: names, lines: [line], remark }
}

interface Match {
  readonly isEnd: boolean
  readonly isFolded: boolean
  readonly values: readonly string[]
}

function readMatch(words: readonly string[]): Match | undefined {
  const [flag, method] = words
  if (flag === '-i') {
    const match = readMatch(words.slice(1))
    return match && { ...match, isFolded: true }
  }
  if (flag !== '-m') return { isEnd: false, isFolded: false, values: words }
  const match = method === 'end' || method === 'str' ? readMatch(words.slice(2)) : undefined
  return match && { ...match, isEnd: method === 'end' }
}
