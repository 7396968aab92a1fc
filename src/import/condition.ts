import { prefixProblem } from './prefix.ts'
import { isServerName, readNames } from './server-names.ts'
import { areValues } from './words.ts'

/** What an `acl`, or the words between braces, asks of a connection: only what a forward can ask, too. */
export interface Criterion {
  /** `hello`: whether it begins with a ClientHello. */
  readonly kind: 'source' | 'name' | 'hello'
  /** Prefixes of the source address, or names of TLS SNI, those with `*.` in front for all below one. */
  readonly values: readonly string[]
  readonly lines: readonly number[]
  /** What there is to warn of where it is used. */
  readonly remark?: string | undefined
}

export interface Condition extends Criterion {
  /** `unless`, or a `!` before it. */
  readonly negated: boolean
}

/** Why a condition is none that a forward can ask. */
export interface Refusal {
  /** Where it is more than that. */
  readonly problem: string | undefined
}

/** An `acl` with an error is `refused`: who uses it need not say so again. */
export type Acls = ReadonlyMap<string, Criterion | 'refused'>

/** Where a forward asks nothing of the kind. */
const unknown: Refusal = { problem: undefined }

/** `src 10.0.0.0/8 192.0.2.1`, `req.ssl_sni -i www.example.com`, `req.ssl_hello_type 1`. */
export function readCriterion(words: readonly string[], line: number): Criterion | Refusal {
  const [fetch, ...rest] = words
  if (fetch === 'src') {
    if (!areValues(rest)) return unknown
    const problem = rest.map(prefixProblem).find(problem => problem !== undefined)
    return problem === undefined ? { kind: 'source', values: rest, lines: [line] } : { problem }
  }
  if (isServerName(fetch)) return readNames(fetch, rest, line) ?? unknown
  if (['req.ssl_hello_type', 'req_ssl_hello_type'].includes(fetch ?? '') && rest.join(' ') === '1')
    return { kind: 'hello', values: [], lines: [line] }
  return unknown
}

/** `if { src … }`, `unless NAME`, `if !NAME`: one criterion, nothing that combines several. */
export function readCondition(
  words: readonly string[],
  line: number,
  acls: Acls,
): Condition | Refusal | 'refused' {
  const [keyword, ...rest] = words
  if (keyword !== 'if' && keyword !== 'unless') return unknown
  const [first = '', ...others] = rest
  const isInverted = first.startsWith('!')
  const term = [...(isInverted ? [first.slice(1)] : [first]), ...others].filter(word => word !== '')
  const negated = (keyword === 'unless') !== isInverted
  if (term[0] === '{' && term.indexOf('}') === term.length - 1) {
    const criterion = readCriterion(term.slice(1, -1), line)
    return 'problem' in criterion ? criterion : { ...criterion, negated }
  }
  const acl = term.length === 1 ? acls.get(term[0]!) : undefined
  if (acl === 'refused' || term.some(word => acls.get(word.replace(/^!/, '')) === 'refused')) return 'refused'
  return acl === undefined ? unknown : { ...acl, lines: [...acl.lines, line], negated }
}
