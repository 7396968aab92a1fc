/** What an `acl`, or the words between braces, asks of a connection: only what a forward can ask, too. */
export interface Criterion {
  readonly kind: 'source' | 'name'
  /** Prefixes of the source address, or names of TLS SNI. */
  readonly values: readonly string[]
  readonly lines: readonly number[]
}

export interface Condition extends Criterion {
  /** `unless`, or a `!` before it. */
  readonly negated: boolean
}

export type Acls = ReadonlyMap<string, Criterion>

/** `src 10.0.0.0/8 192.0.2.1`, `req.ssl_sni -i www.example.com`; `undefined` when a forward cannot ask this. */
export function readCriterion(words: readonly string[], line: number): Criterion | undefined {
  const [fetch, ...rest] = words
  const kind = fetch === 'src' ? 'source' : isServerName(fetch) ? 'name' : undefined
  // Names of TLS know no case, so it makes no difference.
  const values = kind === 'name' && rest[0] === '-i' ? rest.slice(1) : rest
  if (kind === undefined || values.length === 0 || values.some(value => /^[-!]|^$/.test(value)))
    return undefined
  return { kind, values, lines: [line] }
}

function isServerName(fetch: string | undefined): boolean {
  return fetch === 'req.ssl_sni' || fetch === 'req_ssl_sni'
}

/** `if { src … }`, `unless NAME`, `if !NAME`: one criterion. `undefined` for anything that combines several. */
export function readCondition(words: readonly string[], line: number, acls: Acls): Condition | undefined {
  const [keyword, ...rest] = words
  if (keyword !== 'if' && keyword !== 'unless') return undefined
  const [first = '', ...others] = rest
  const isInverted = first.startsWith('!')
  const term = [...(isInverted ? [first.slice(1)] : [first]), ...others].filter(word => word !== '')
  const negated = (keyword === 'unless') !== isInverted
  if (term[0] === '{' && term.indexOf('}') === term.length - 1) {
    const criterion = readCriterion(term.slice(1, -1), line)
    return criterion && { ...criterion, negated }
  }
  const acl = term.length === 1 ? acls.get(term[0]!) : undefined
  return acl && { ...acl, lines: [...acl.lines, line], negated }
}
